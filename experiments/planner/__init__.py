"""The value of a stock of text under each recipe, of synthetic text, and of EntiGraph's calls."""

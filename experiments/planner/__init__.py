"""The value of a stock of text under each recipe, from published laws or from a run store."""

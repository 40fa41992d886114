"""Predicted cost and benefit of each recipe, before anything is trained."""

"""Averages of models' predictions: uniform, with fitted weights, by size."""

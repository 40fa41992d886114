"""Hyperparameter search on a grid, and certificates of local optima."""

"""Uncertainty of fits: covariances, profiles, bootstrap and diagnostics."""

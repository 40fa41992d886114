"""Scaling laws: how a law is defined, and the registry of those available."""

"""Continued pre-training on a small domain, with replayed text."""

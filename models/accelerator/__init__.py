"""Checks and measurements of training on this machine's accelerators."""

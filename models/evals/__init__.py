"""Evaluations of a model: held-out loss, multiple choice and minimal pairs."""

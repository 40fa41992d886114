"""Synthetic bootstrapped pre-training: document pairs, synthesizers and measurements."""

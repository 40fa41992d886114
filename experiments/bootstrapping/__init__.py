"""Bootstrapped pre-training: the documents, and what is trained on them."""

"""Synthetic bootstrapped pre-training: embeddings, pairs and synthesizer."""

"""A world of latent concepts: what bootstrapped pre-training is tried on where all is known."""

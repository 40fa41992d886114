"""How the members of an ensemble are tuned, weighted and made to differ."""

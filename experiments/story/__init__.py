"""The results of all recipes of a world, and what follows from several."""

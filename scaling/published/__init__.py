"""Numbers published by others, with their sources, and tables of runs."""

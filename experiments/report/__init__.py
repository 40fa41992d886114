"""The HTML report of a world, with its tables of published and own numbers, and that of `worth`."""

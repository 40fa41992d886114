"""The transformer network and its attention."""

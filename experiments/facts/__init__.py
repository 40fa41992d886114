"""A world of facts: what EntiGraph is tried on where every fact and every answer is known."""

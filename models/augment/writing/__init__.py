"""Requests to language models that write texts, and their answers."""

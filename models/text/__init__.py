"""Text as training data: corpora, tokenizers, token streams and batches."""

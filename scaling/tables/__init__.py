"""Reading of run tables as people have them: bytes, dialects, nested objects, numbers in words."""

"""Quality measures of synthetic texts, and comparison with real texts."""

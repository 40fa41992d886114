"""Output for people: progress bars, notices, tables and formatted numbers."""

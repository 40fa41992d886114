"""Run specifications, the run store with its locks, records and archives."""

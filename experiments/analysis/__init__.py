"""Statistics over finished runs: intervals, differences and fitted laws."""

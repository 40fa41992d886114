"""Input texts: records, chunks, line files and near-duplicate detection."""

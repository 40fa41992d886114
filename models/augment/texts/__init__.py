"""Input texts: records and near-duplicate detection."""

"""The experimental settings called worlds, and the plans of their recipes."""

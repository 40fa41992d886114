"""Laws judged beyond the runs they were fitted to, and their weighted average."""

"""Sweeps: training of many runs by workers in threads, processes or jobs."""

"""What to run and what came out: worlds, recipes, run store, claims, report, command line."""

"""The command line `datawall`: one module for each group of subcommands."""

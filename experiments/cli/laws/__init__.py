"""The subcommands that fit, compare and use laws on a table of runs."""

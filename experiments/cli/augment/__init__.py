"""The subcommands of `datawall augment`, which write synthetic texts, and `datawall worth`."""

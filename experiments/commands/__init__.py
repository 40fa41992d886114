"""The subcommands of `datawall`, one file each."""

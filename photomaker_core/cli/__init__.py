"""The command ``photomaker``, one module a subcommand."""

"""The slash commands, one feature a module."""

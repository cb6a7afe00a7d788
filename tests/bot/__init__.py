"""Tests of the bot, as members use it."""

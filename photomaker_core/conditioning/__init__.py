"""Prompts with a trigger word, and the stacked ID embedding that replaces the class word."""

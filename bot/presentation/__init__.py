"""Sentences, errors and files as members see them."""

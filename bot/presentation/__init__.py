"""Sentences, errors and files in the form that members see."""

"""The embedded model: its architecture, the portraits it was trained on, its weights."""

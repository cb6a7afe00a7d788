"""The thread that owns the model."""

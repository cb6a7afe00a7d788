"""Programs that make documents and texts from the code."""

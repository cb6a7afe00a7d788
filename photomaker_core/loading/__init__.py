"""Model files on disk become a PhotoMaker that can draw."""

"""From a source to candidate pictures in the store: folders, WebDataset tars, and lists of URLs."""

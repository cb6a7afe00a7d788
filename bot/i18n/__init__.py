"""Translation of sentences into the languages of members."""

"""The steps from candidate pictures to shards; each turns a batch of rows into a batch of rows."""

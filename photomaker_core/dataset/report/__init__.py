"""The page that shows what a dataset run kept, what it dropped and why."""

"""The languages that members are answered in."""

"""Photos on their way in: reading, normalising, and judging them."""

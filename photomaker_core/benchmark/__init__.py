"""Measurements of the engine beside a plain pipeline on the same weights, in the same run."""

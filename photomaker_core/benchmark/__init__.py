"""How fast the engine is, beside a plain pipeline on the same weights, in the same run."""

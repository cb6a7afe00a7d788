"""Named choices that ship with the library: aspect ratios and style templates."""

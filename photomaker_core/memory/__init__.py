"""Memory plans, the footprint that each is expected to have, and the means to follow one."""

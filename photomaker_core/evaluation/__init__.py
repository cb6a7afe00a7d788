"""How good the pictures are: the paper's comparison on any base and adapter."""

"""Evaluation of pictures: the paper's comparison of methods on any base and adapter."""

"""Tests of the dataset pipeline."""

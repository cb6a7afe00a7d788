"""Sharing one engine between members: fair queue and runner."""

"""A check of the engine on a graphics card: speed, memory plans and half precision, within a time budget."""

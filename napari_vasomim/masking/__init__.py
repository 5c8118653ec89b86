"""Guided masking in the window: what the engine answers, its layers, its animation, the same as a script."""

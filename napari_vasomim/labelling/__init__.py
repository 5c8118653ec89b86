"""Keeping what was drawn: labels, the queue of frames to annotate, and the walk through it."""

"""Labelled frames: the curated label set, and the folders of others that can be read like it."""

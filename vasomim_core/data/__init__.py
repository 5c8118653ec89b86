"""Frames as training takes them: stored decoded, cut out at random, labelled or not."""

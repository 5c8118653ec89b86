"""Guided masking: the schedule, the masks that are sampled, what they come to on one frame, and pictures of it."""

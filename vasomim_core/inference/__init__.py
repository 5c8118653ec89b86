"""The masking of one frame, and the child process that a window asks for it and for segmentations."""

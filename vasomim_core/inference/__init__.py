"""From a frame to what a model says of it: in this process, or in a child that a window asks."""

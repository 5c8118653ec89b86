"""The vessel tools of a person who corrects a mask, on arrays: paths and what they paint, and the mask alone."""

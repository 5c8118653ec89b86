"""The vessel tools of a person who corrects a mask, on arrays: trace, remove, cut, grow."""

"""Measures in the window: clicks on the shown frame, what came of them, how it is drawn, and where it is kept."""

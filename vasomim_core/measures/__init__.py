"""Quantitative coronary angiography on arrays: centreline, walls, diameters, references, and their scale."""

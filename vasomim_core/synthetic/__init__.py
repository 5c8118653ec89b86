"""Synthetic coronary angiograms with exact truth, drawn from a seed."""

from vasomim_core.synthetic.angiograms import (
    SyntheticAngiogram,
    SyntheticCine,
    synthesize,
    synthesize_cine,
    write_cines,
    write_samples,
)
from vasomim_core.synthetic.scene import Look

__all__ = [
    "Look",
    "SyntheticAngiogram",
    "SyntheticCine",
    "synthesize",
    "synthesize_cine",
    "write_cines",
    "write_samples",
]

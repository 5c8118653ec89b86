"""Synthetic coronary angiograms with exact truth, drawn from a seed."""

from vasomim_core.data.synthetic.angiograms import (
    Look,
    SyntheticAngiogram,
    SyntheticCine,
    synthesize,
    synthesize_cine,
    write_samples,
)

__all__ = ["Look", "SyntheticAngiogram", "SyntheticCine", "synthesize", "synthesize_cine", "write_samples"]

"""Synthetic coronary angiograms for File ▸ Open Sample, each with its true vessels in a hidden layer."""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from napari_vasomim._reader import LayerData, angulation
from napari_vasomim.canvas import layers
from napari_vasomim.canvas.facts import AngiogramFacts, Mark
from napari_vasomim.canvas.opening import show_when_added
from vasomim_core.synthetic import synthesize, synthesize_cine
from vasomim_core.synthetic.tree import Side

# Seeds chosen by eye: the whole tree in the frame, side branches, good contrast.
LEFT_SEED, RIGHT_SEED, CINE_SEED = 1, 6, 8


def left() -> list[LayerData]:
    """A left coronary tree, uint8 (512, 512)."""
    return _still(LEFT_SEED, "left")


def right() -> list[LayerData]:
    """A right coronary tree, uint8 (512, 512)."""
    return _still(RIGHT_SEED, "right")


def cine() -> list[LayerData]:
    """A left coronary tree that fills while the heart beats, uint8 (16, 384, 384); shown at its fullest frame."""
    drawn = synthesize_cine(CINE_SEED, frames=16, frame_time_ms=133.3, side="left", size=384)
    fullest = int(drawn.masks.sum(axis=(1, 2)).argmax())
    show_when_added(drawn.frames, fullest)
    return _layers("Left coronary cine", drawn.frames, drawn.masks, drawn.angles, drawn.frame_time_ms)


def _still(seed: int, side: Side) -> list[LayerData]:
    drawn = synthesize(seed, side=side)
    return _layers(f"{side.capitalize()} coronary", drawn.frame, drawn.mask, drawn.angles, None)


def _layers(
    name: str,
    data: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    angles: tuple[float, float],
    frame_time_ms: float | None,
) -> list[LayerData]:
    sample = secrets.token_hex(8)
    facts = AngiogramFacts(frame_time_ms=frame_time_ms, angles=angles, sample=sample)
    title = " ".join([name, *angulation(angles)])
    image = {"name": title, "rgb": False, "metadata": {layers.KEY: facts}}
    mark = {layers.KEY: Mark("truth", sample=sample)}
    hidden = {"name": f"truth · {title}", "visible": False, "opacity": 0.5, "metadata": mark}
    # The truth lies below, so that the angiogram is the layer that napari selects.
    return [(truth.astype(np.uint8), hidden, "labels"), (data, image, "image")]

"""Pictures for people: panels side by side, with their titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.files import atomic


@dataclass(frozen=True)
class Panel:
    """One picture of a figure.

    Attributes:
        title: stands above it.
        image: (H, W) any real dtype, or (H, W, 3) uint8.
        colours: a matplotlib colour map; None = grey.
        limits: values shown as the darkest and the brightest; None = those of the image.
        bar: show a colour bar.
    """

    title: str
    image: NDArray[Any]
    colours: str | None = None
    limits: tuple[float, float] | None = None
    bar: bool = False


def save_panels(path: Path, panels: Sequence[Panel], columns: int, caption: str = "") -> None:
    """Write panels as one PNG, row after row.

    Args:
        path: of the PNG.
        panels: in reading order.
        columns: panels per row.
        caption: one line below everything.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.45 * rows + 0.3), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        low, high = panel.limits or (float(np.min(panel.image)), float(np.max(panel.image)))
        shown = axis.imshow(panel.image, cmap=panel.colours or "gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(panel.title, fontsize=11)
        if panel.bar:
            figure.colorbar(shown, ax=axis, fraction=0.046, pad=0.02)
    if caption:
        figure.supxlabel(caption, fontsize=9, color="0.3")
    with atomic(path) as temporary:
        figure.savefig(temporary)


def overlay(frame: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A grey frame (H, W) with a mask tinted over it, uint8 (H, W, 3)."""
    rgb = np.repeat(frame[..., None], 3, axis=2).astype(np.float32)
    rgb[mask] = 0.45 * rgb[mask] + 0.55 * np.array(colour, np.float32)
    return rgb.astype(np.uint8)


def masked_frame(frame: NDArray[np.float32], mask: NDArray[np.bool_], patch_size: int) -> NDArray[np.uint8]:
    """A frame (H, W) with its masked patches (rows, columns) painted over in blue-grey, uint8 (H, W, 3)."""
    covered = np.kron(mask, np.ones((patch_size, patch_size), bool))
    rgb = np.repeat(frame[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)
    rgb[covered] = (58, 74, 104)
    return rgb

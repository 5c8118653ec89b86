"""Pictures for people: panels side by side, with their titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import InputError
from vasomim_core.files import atomic

TINT = 0.55
"""Share of a mask's colour where it lies over a frame."""


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


@dataclass(frozen=True)
class Curve:
    """One line of a plot.

    Attributes:
        name: in the legend.
        x: (n,).
        y: (n,).
        colour: "#rrggbb".
        dashed: else a full line.
    """

    name: str
    x: NDArray[Any]
    y: NDArray[Any]
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Plot:
    """Curves in one picture of a figure.

    Attributes:
        title: stands above it.
        curves: the lines.
        along: what x is.
        limits: of y.
    """

    title: str
    curves: Sequence[Curve]
    along: str
    limits: tuple[float, float]


def save_panels(path: Path, panels: Sequence[Panel | Plot], columns: int, caption: str = "") -> None:
    """Write panels as one PNG, row after row.

    Args:
        path: of the PNG.
        panels: in reading order.
        columns: panels per row.
        caption: a line or two below everything.
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
        axis.set_title(panel.title, fontsize=11)
        if isinstance(panel, Plot):
            _plot(axis, panel)
            continue
        low, high = panel.limits or (float(np.min(panel.image)), float(np.max(panel.image)))
        shown = axis.imshow(panel.image, cmap=panel.colours or "gray", vmin=low, vmax=high, interpolation="nearest")
        if panel.bar:
            figure.colorbar(shown, ax=axis, fraction=0.046, pad=0.02)
    if caption:
        figure.supxlabel(caption, fontsize=9, color="0.3")
    with atomic(path) as temporary:
        figure.savefig(temporary)


def _plot(axis: Any, plot: Plot) -> None:
    axis.set_axis_on()
    for curve in plot.curves:
        style = "--" if curve.dashed else "-"
        axis.plot(curve.x, curve.y, style, color=curve.colour, label=curve.name, linewidth=1.6)
    axis.set_xlabel(plot.along)
    axis.set_ylim(*plot.limits)
    axis.set_box_aspect(1)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def overlay(
    frame: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int] = (31, 200, 219)
) -> NDArray[np.uint8]:
    """A grey frame with a mask tinted over it.

    Args:
        frame: uint8 (H, W).
        mask: bool (H, W).
        colour: red, green and blue, 0-255 each.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: the mask is not of bool, such as a probability, or of another size than the frame.
    """
    if mask.dtype != bool or mask.shape != frame.shape:
        raise InputError(f"the mask is {mask.dtype} {mask.shape}; give bool {frame.shape}, the size of the frame")
    return tinted(np.repeat(frame[..., None], 3, axis=2), mask, colour)


def tinted(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int], share: float = TINT
) -> NDArray[np.uint8]:
    """A picture (H, W, 3) uint8 with a colour over a mask (H, W), which takes this share of it; another array."""
    found = rgb.copy()
    found[mask] = (1 - share) * rgb[mask].astype(np.float32) + share * np.array(colour, np.float32)
    return found


def masked_frame(frame: NDArray[Any], mask: NDArray[np.bool_], patch_size: int) -> NDArray[np.uint8]:
    """A frame (H, W) with its masked patches (rows, columns) painted over in blue-grey, uint8 (H, W, 3)."""
    covered = np.kron(mask, np.ones((patch_size, patch_size), bool))
    rgb = np.repeat(frame[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)
    rgb[covered] = (58, 74, 104)
    return rgb

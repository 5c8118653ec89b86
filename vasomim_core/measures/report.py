"""One page on one measure: the frame, the walls on it, the profile, the numbers, and where the scale comes from."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import ConfigError
from vasomim_core.files import atomic
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.measures.measuring import Measure

SUFFIXES = (".pdf", ".png")
NOTICE = "For research only. Not a medical device; not for diagnosis or treatment."
WALL, CENTRE, MLD, REFERENCE, LESION = "#ffd23f", "#35c9d6", "#ff5a4f", "#7bd389", "#ff5a4f"
"""Colours of the parts of a measure."""
MARGIN = 30.0  # px of frame around the vessel
A4 = 8.27, 11.69  # inches


def save_report(path: Path, frame: NDArray[np.uint8], measure: Measure, index: int = 0) -> None:
    """Write one page, atomically.

    Args:
        path: ends in .pdf or .png.
        frame: uint8 (H, W) on which was measured.
        measure: what is told.
        index: which frame of its run, from 0. The page names no file, whose name may be a person's: it tells the frame
            by the first digits of its fingerprint (`labels.mask.pixel_sha256`).

    Raises:
        ConfigError: another suffix.
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"a report is a .pdf or a .png, not {path.name}: give another name")
    figure = Figure(figsize=A4, dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.07, 0.955, measure.name or "Vessel measure", fontsize=16, weight="bold", parse_math=False)
    which = f"frame {index}, {frame.shape[1]} × {frame.shape[0]} px, fingerprint {pixel_sha256(frame)[:12]}"
    figure.text(0.07, 0.935, which, fontsize=9, color="0.35")
    _overview(figure.add_axes((0.07, 0.60, 0.42, 0.31)), frame, measure)
    _close_up(figure.add_axes((0.52, 0.60, 0.42, 0.31)), frame, measure)
    _profile(figure.add_axes((0.11, 0.34, 0.82, 0.20)), measure)
    for k, (what, value) in enumerate(numbers(measure)):
        y = 0.275 - 0.0195 * k
        figure.text(0.07, y, what, fontsize=10, color="0.35")
        figure.text(0.40, y, value, fontsize=10, weight="bold" if k < 3 else "normal")
    figure.text(0.07, 0.150, "Scale", fontsize=10, color="0.35", va="top")
    figure.text(0.40, 0.150, _wrapped(measure.source, 62), fontsize=10, va="top", parse_math=False)
    figure.text(0.07, 0.025, NOTICE, fontsize=9, color="0.35")
    with atomic(path) as temporary:
        # Without the time of day and names of programs, the same measure is the same file.
        kind: dict[str, Any] = {"CreationDate": None} if path.suffix.lower() == ".pdf" else {"Software": None}
        figure.savefig(temporary, metadata=kind)


def numbers(measure: Measure) -> list[tuple[str, str]]:
    """What is read of a measure and its value in words, the most asked first."""
    lesion = measure.text(measure.lesion_px) if measure.lesion_px is not None else "none narrower than 95 %"
    return [
        ("Diameter stenosis", f"{measure.ds_percent:.1f} %"),
        ("Minimal lumen diameter (MLD)", measure.text(measure.mld_px)),
        ("Reference diameter at the MLD", f"{measure.text(measure.reference_px)}, {measure.reference}"),
        ("Lesion length", lesion),
        ("Mean diameter", measure.text(measure.mean_px)),
        ("Length of the segment", measure.text(measure.length_px, 1)),
    ]


def _overview(axis: Any, frame: NDArray[np.uint8], measure: Measure) -> None:
    axis.imshow(frame, cmap="gray", vmin=0, vmax=255)
    axis.plot(*measure.segment.centreline.T[::-1], color=CENTRE, linewidth=1.2)
    axis.set_title("Frame", fontsize=10)
    axis.set_axis_off()


def _close_up(axis: Any, frame: NDArray[np.uint8], measure: Measure) -> None:
    segment, place = measure.segment, measure.narrowest
    axis.imshow(frame, cmap="gray", vmin=0, vmax=255)
    axis.plot(*segment.centreline.T[::-1], color=CENTRE, linewidth=0.7)
    for wall in (segment.left, segment.right):
        axis.plot(*wall.T[::-1], color=WALL, linewidth=1)
    axis.plot(*np.stack([segment.left[place], segment.right[place]]).T[::-1], color=MLD, linewidth=1.8)
    for marker in measure.markers:
        i = int(np.abs(measure.distance - marker).argmin())
        axis.plot(*np.stack([segment.left[i], segment.right[i]]).T[::-1], color=REFERENCE, linewidth=1.5)
    low, high = segment.centreline.min(axis=0) - MARGIN, segment.centreline.max(axis=0) + MARGIN
    middle, half = (low + high) / 2, (high - low).max() / 2
    axis.set_xlim(middle[1] - half, middle[1] + half)
    axis.set_ylim(middle[0] + half, middle[0] - half)
    axis.set_title("Walls, MLD (red), reference (green)", fontsize=10)
    axis.set_axis_off()


def _profile(axis: Any, measure: Measure) -> None:
    unit, factor = ("px", 1.0) if measure.scale is None else ("mm", measure.scale.mm_per_px)
    along = measure.distance * factor
    axis.plot(along, measure.diameter * factor, color="0.1", linewidth=1.4, label="diameter")
    axis.plot(
        along, measure.reference_diameter * factor, "--", color="#2f9e57", label=f"reference ({measure.reference})"
    )
    axis.plot(along[measure.narrowest], measure.mld_px * factor, "o", color=MLD, label="MLD")
    if measure.lesion is not None:
        axis.axvspan(*(along[i] for i in measure.lesion), color=LESION, alpha=0.12, linewidth=0)
    for marker in measure.markers:
        axis.axvline(marker * factor, color="#2f9e57", linewidth=0.8, linestyle=":")
    axis.set_xlabel(f"along the vessel ({unit})")
    axis.set_ylabel(f"diameter ({unit})")
    axis.set_ylim(0, 1.15 * factor * float(max(measure.diameter.max(), measure.reference_diameter.max())))
    axis.set_xlim(along[0], along[-1])
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right", ncols=3)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))

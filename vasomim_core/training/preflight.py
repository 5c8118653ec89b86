"""A look at labelled frames before a run; torch is not loaded here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.report import check_labels, passed_over
from vasomim_core.labels.splitting import split_validation, take_fraction


def check_before_training(
    labels: Path, val: Path | None = None, fraction: float = 1.0, seed: int = 0, categories: bool = False
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Look at labelled frames before a run; reads each of them once (about 20 ms a frame), so not in a window's thread.

    Args:
        labels: as for `open_labels`.
        val: frames to validate on, likewise; None = some of `labels`, which then needs two groups.
        fraction: share of `labels` that will be used, in (0, 1].
        seed: of the draw of that share.
        categories: as for `open_labels`.

    Returns:
        Problems (sentences; a run would fail), warnings (sentences; probably mistakes), and counts: `frames`,
        `groups`, `vessel` (mean share in percent), `sizes` (frames by "W×H"). Counts are empty when nothing opens.
    """
    try:
        frames = open_labels(labels, categories=categories)
        validation = open_labels(val, categories=categories) if val is not None else []
    except (VasoMIMError, OSError) as error:
        return [str(error)], [], {}
    found = check_labels(frames)
    counts = {
        "frames": found.frames,
        "groups": found.groups,
        "vessel": round(100 * found.vessel, 1),
        "sizes": {f"{w}×{h}": count for (h, w), count in found.sizes.items()},
    }
    problems, warnings = [], [*passed_over(labels), *passed_over(val), *found.warnings]
    used = take_fraction(frames, fraction, seed) if fraction < 1 else frames
    shared = {frame.frame_sha256 for frame in used} & {frame.frame_sha256 for frame in validation}
    if shared:
        warnings.append(f"{len(shared)} of {len(validation)} validation frames are also learned from: scores flatter.")
    try:
        if val is None:
            split_validation(used, seed)
    except LabelError:
        which = f"The {len(used)} labelled frames" + (f" that a fraction of {fraction:g} takes" if fraction < 1 else "")
        problems.append(
            f"{which} are all of one group (one patient or sequence), so that none can be held out to validate on: "
            "accept frames of a second patient in the Labels panel, or choose other labelled frames as val under "
            "All settings."
        )
    if len(found.empty) == found.frames:
        problems.append("No mask has a single vessel pixel: there is nothing to learn from.")
    if found.frames < 5:
        warnings.append(f"There are only {found.frames} labelled frames: scores on so few say little.")
    return problems, warnings, counts

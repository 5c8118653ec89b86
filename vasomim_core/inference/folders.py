"""The segmentation of a folder of angiograms by a model, as mask files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vasomim_core import following
from vasomim_core.config import Vessels
from vasomim_core.errors import ConfigError
from vasomim_core.files import passing_pages, write_masks
from vasomim_core.labels.mask import LEAST_VESSEL
from vasomim_core.models.catalogue import DEFAULT_MODEL
from vasomim_core.models.class_mask import Probabilities
from vasomim_core.models.prediction import Model
from vasomim_core.models.registry import load_model
from vasomim_core.reading import GreyLevels
from vasomim_core.reading.folders import Progress, Worked, each_angiogram

Seen = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Probability and mask of a frame."""


@dataclass(frozen=True)
class SegmentedFolder(Worked):
    """What came of the segmentation of a folder.

    Attributes:
        written: the masks, in the natural order of the angiograms.
        frames: number of frames that were segmented.
        failed: one sentence for each file that could not be read.
        notes: sentences on those that could.
        with_little_vessel: number of frames in which less than 1 % is vessel; if it is most of them, vessels are
            probably bright there.
        model: name of the model.
        vessels: "every" or "main" branches.
        device: that it computed on.
    """

    with_little_vessel: int
    model: str
    vessels: Vessels
    device: str


def segment_folder(
    frames: Path | str | Sequence[Path | str],
    output: Path | str,
    model: Model | Path | str = DEFAULT_MODEL,
    *,
    vessels: Vessels = "every",
    threshold: float | None = None,
    mirrored: bool = False,
    tile: int | None = None,
    inverted: bool = False,
    probability: bool = False,
    steady: bool = False,
    suffix: str | None = None,
    strict: bool = False,
    device: str = "auto",
    progress: Progress = lambda done, total: None,
) -> SegmentedFolder:
    """Write the vessel mask of every frame of a folder, as `vasomim segment` does.

    A mask is `<stem>.png`, that of a run `<stem>.tif` with a page a frame: 8 bits, 255 = vessel, 0 = not, of the
    frame's size. `evaluate` scores such a folder, and training learns from it as `masks/` beside `images/`. Below the
    folder that holds all angiograms, folders are mirrored.

    Args:
        frames: a folder, which is searched through, an angiogram, or several of them.
        output: folder for the masks; masks of an earlier call are replaced.
        model: a model, or its name, file or run folder.
        vessels: every visible vessel, or the "main" branches alone, where the model tells them apart.
        threshold: probability in [0, 1] from which a pixel is vessel; None = the model's own.
        mirrored: average with the frame flipped left to right (2× the time); some models always do.
        tile: side in px of overlapping tiles of the scaled frame, to bound memory; None = as the model was trained.
        inverted: vessels are bright in these images, as in a subtracted one or a fundus.
        probability: also write `<stem>_probability.tif`, 32-bit in [0, 1].
        steady: in a run, the frames before and after each have a say in its probability, brought to it along the
            optical flow: less flicker.
        suffix: of the files to take from folders, such as ".png" where previews lie beside them; None = all kinds.
        strict: end at the first file that cannot be read; else the rest is done, and `failed` of the result lists it.
        device: for a model that is not loaded yet; see `load_model`.
        progress: called after each frame with the number of frames done and of all that are known of by then.

    Returns:
        What was written, and what could not be read.

    Raises:
        InputError: an input is missing or holds no angiogram; none can be read, or with `strict` one cannot.
        ConfigError: a setting out of range; main branches of a model that does not tell them apart; two inputs would
            have the same mask, or a mask would replace its frame.
        CheckpointError: no such model, or one that does not segment.
        OSError: a mask cannot be written.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"threshold is {threshold}; give a probability between 0 and 1")
    if tile is not None and tile < 1:
        raise ConfigError(f"tile is {tile}; give a side in px of at least 1")
    network = model if isinstance(model, Model) else load_model(model, device)
    if vessels == "main":
        network.need_main_branches()
    little = 0

    def work(greys: Iterator[NDArray[np.uint8]], count: int, target: Path) -> Path:
        nonlocal little
        shares: list[float] = []

        def masks(found: Iterator[Seen]) -> Iterator[NDArray[np.bool_]]:
            for _, mask in found:
                shares.append(float(mask.mean()))
                yield mask

        said = ((grey, network.predict_classes(grey, mirrored, tile)) for grey in greys)
        calm = _steady(said) if steady and count > 1 else (one for _, one in said)
        found: Iterator[Seen] = (network.vessels(one, vessels, threshold) for one in calm)
        if probability:
            found = passing_pages(target.with_name(f"{target.name}_probability.tif"), found, lambda seen: seen[0])
        written = write_masks(target, masks(found), count)
        little += sum(share < LEAST_VESSEL for share in shares)
        return written

    levels = GreyLevels(bright_vessels=inverted)
    done = each_angiogram(frames, output, work, levels, suffix, strict, progress)
    return SegmentedFolder(
        **vars(done), with_little_vessel=little, model=network.name, vessels=vessels, device=str(network.device)
    )


def _steady(said: Iterator[tuple[NDArray[np.uint8], Probabilities]]) -> Iterator[Probabilities]:
    """What a model says of the frames of a run, each with a say of those beside it."""
    planes = ((grey, np.concatenate([one.vessel[None], one.classes])) for grey, one in said)
    return (Probabilities(one[0], one[1:]) for one in following.steady(planes))

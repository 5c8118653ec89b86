"""A trained model made ready to be given away: calibrated, with its best threshold and scores, in half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import CheckpointError, LabelError
from vasomim_core.evaluation.calibration import AS_TRAINED, Reliability, best_threshold, calibrate, fit
from vasomim_core.evaluation.metrics import mean_overlap
from vasomim_core.labels.labelled import LabelledFrame
from vasomim_core.models.catalogue import find_model, read_card
from vasomim_core.models.checkpoint import read_state, save_checkpoint
from vasomim_core.models.registry import load_model

NEAR = 8
"""px around what the model found, for the second calibration error: farther away it is cheap to be right."""


def package(
    model: str | Path,
    validation: Sequence[LabelledFrame],
    output: Path,
    description: str | None = None,
    mirrored: bool = False,
    progress: Callable[[int], object] = lambda done: None,
) -> dict[str, float]:
    """Calibrate a model on frames that it has not learned from, score it on them, and write it in half precision.

    The threshold becomes the one with the largest mean DSC on these frames. An error after calibration is that of
    frames to which it was not fitted: each half of them is judged by a fit to the other half.

    Args:
        model: a segmentation model, by name, file or run folder.
        validation: at least two labelled frames.
        output: a `.safetensors` file; an older one is replaced.
        description: one line for people; None = that of the model.
        mirrored: average with the mirrored frame from now on, at twice the time.
        progress: is told after each frame how many are done.

    Returns:
        What is also in the card: frames; dsc and cldice, means in percent; calibration errors in percent, over all
        pixels (`ece`) and near the vessels it finds (`ece_near`), each also as trained (`…_as_trained`).

    Raises:
        CheckpointError: the model does not segment.
        LabelError: a frame or mask that cannot be read, or too few of them.
    """
    if len(validation) < 2:
        raise LabelError(f"{len(validation)} validation frames are too few to calibrate on; give at least two")
    loaded = load_model(model)
    as_trained = replace(
        loaded.card.preprocessing,
        calibration=AS_TRAINED,
        threshold=0.5,
        mirrored=mirrored or loaded.card.preprocessing.mirrored,
    )
    loaded = replace(loaded, card=replace(loaded.card, preprocessing=as_trained))
    pairs, everywhere, near = [], [], []
    for done, frame in enumerate(validation, 1):
        p, truth = loaded.predict(frame.frame()), np.asarray(frame.mask(), bool)
        pairs.append((p, truth))
        everywhere.append(Reliability.of(p, truth))
        close = _around(p >= 0.5)  # and not what is true, which the model could not know
        near.append(Reliability.of(p[close], truth[close]))
        progress(done)
    best = best_threshold(everywhere)
    overlap, line = mean_overlap((p >= best, truth) for p, truth in pairs)
    scores = {"frames": len(validation), "dsc": round(overlap, 2), "cldice": round(line, 2)}
    for name, tables in (("ece", everywhere), ("ece_near", near)):
        scores[f"{name}_as_trained"] = round(100 * _sum(tables).error(), 2)
        halves = (_sum(tables[k::2]).calibrated(fit(_sum(everywhere[1 - k :: 2]))) for k in (0, 1))
        scores[name] = round(100 * _sum(halves).error(), 2)
    calibration = fit(_sum(everywhere))
    threshold = float(calibrate(np.array(best, np.float32), calibration))
    card = replace(
        loaded.card,
        preprocessing=replace(as_trained, calibration=calibration, threshold=threshold),
        description=loaded.card.description if description is None else description,
        scores={"validation": scores},
    )
    save_checkpoint(output, read_state(find_model(model)), card, half=True)
    return scores


def package_encoder(model: str | Path, output: Path, description: str | None = None) -> None:
    """Write a pretrained autoencoder, with its S, in half precision; there is nothing to calibrate.

    Args:
        model: by name, file or run folder.
        output: a `.safetensors` file; an older one is replaced.
        description: one line for people; None = that of the model.

    Raises:
        CheckpointError: it is no autoencoder.
    """
    path = find_model(model)
    card = read_card(path)
    if card.kind != "autoencoder":
        raise CheckpointError(f"{path} is a {card.kind}: give labelled frames (--validation) to calibrate it on")
    description = card.description if description is None else description
    save_checkpoint(output, read_state(path), replace(card, description=description), half=True)


def _around(vessels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR + 1, 2 * NEAR + 1))
    return cv2.dilate(vessels.astype(np.uint8), disc).astype(bool)


def _sum(tables: Iterable[Reliability]) -> Reliability:
    return sum(tables, Reliability.empty())

"""A trained model made ready to be given away: calibrated, with its best threshold and scores, in half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vasomim_core.classes import MAIN
from vasomim_core.errors import CheckpointError, ConfigError, LabelError
from vasomim_core.evaluation.calibration import AS_TRAINED, Reliability, best_threshold, calibrate, fit
from vasomim_core.evaluation.metrics import dsc, mean_overlap
from vasomim_core.labels.labelled import LabelledFrame
from vasomim_core.models.catalogue import Card, find_model, read_card
from vasomim_core.models.checkpoint import read_state, save_checkpoint
from vasomim_core.models.class_mask import without_specks
from vasomim_core.models.prediction import Model
from vasomim_core.models.registry import load_model
from vasomim_core.schema import check

THRESHOLDS, PIECES = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6), (0.0, 0.0003, 0.0006, 0.001, 0.0015, 0.002)
"""What is tried, beside the best threshold of all pieces."""
NEAR = 8
"""px around what the model found, for the second calibration error: farther away it is cheap to be right."""


def package(
    model: str | Path,
    validation: Sequence[LabelledFrame],
    output: Path,
    description: str | None = None,
    mirrored: bool = False,
    progress: Callable[[int], object] = lambda done: None,
    every: Sequence[LabelledFrame] = (),
    average: str | Path | None = None,
    frame_size: int | None = None,
) -> dict[str, Any]:
    """Calibrate a model on frames that it has not learned from, score it on them, and write it in half precision.

    The threshold becomes the one with the largest mean DSC on these frames. An error after calibration is that of
    frames to which it was not fitted: each half of them is judged by a fit to the other half.

    A model that tells main branches from others needs two kinds of labels: those of every vessel give calibration and
    threshold, those of main branches, `validation`, the threshold of that class.

    Args:
        model: a segmentation model, by name, file or run folder.
        validation: at least two labelled frames; of main branches alone, where the model tells them apart.
        output: a `.safetensors` file; an older one is replaced.
        description: one line for people; None = that of the model.
        mirrored: average with the mirrored frame from now on, at twice the time.
        progress: is told after each frame how many are done.
        every: at least two frames with every vessel labelled, for a model that tells main branches apart; then scores
            of these are kept under "every vessel" and those of `validation` are of main branches.
        average: another model of the same network, such as the one that the training began with: each weight is the
            mean of both, which is often better than either (Wortsman et al., Model soups, ICML 2022).
        frame_size: longer side in pixels to which frames are scaled from now on, such as a larger one for thinner
            vessels; None = as it was trained.

    Returns:
        What is also in the card: frames; dsc and cldice, means in percent; calibration errors in percent, over all
        pixels (`ece`) and near the vessels it finds (`ece_near`), each also as trained (`…_as_trained`). With `every`
        these are of every vessel, and "main" has the frames, dsc and cldice of main branches.

    Raises:
        CheckpointError: the model does not segment, or is not of one network with that of `average`.
        ConfigError: `every` is given for a model that does not tell main branches apart, or not for one that does;
            `frame_size` out of range.
        LabelError: a frame or mask that cannot be read, or too few of them.
    """
    for few in (validation, *([every] if every else [])):
        if len(few) < 2:
            raise LabelError(f"{len(few)} validation frames are too few to calibrate on; give at least two")
    loaded = load_model(model)
    if not loaded.card.segments:
        raise CheckpointError(f"{loaded.name} is a pretrained {loaded.card.kind}; finetune it before it is packaged")
    state = read_state(find_model(model))
    if average is not None:
        state = _mean(loaded.card, state, average)
        loaded.network.load_state_dict(state)
        # Without the other's name, which may be a person's.
        loaded = replace(loaded, card=replace(loaded.card, config=loaded.card.config | {"averaged": True}))
    main = MAIN in [one.name.casefold() for one in loaded.classes]
    if main != bool(every):
        raise ConfigError(
            f"{loaded.name} tells main branches from others: give frames with every vessel labelled, too (--every)"
            if main
            else f"{loaded.name} does not tell main branches from others: --every is for models that do"
        )
    as_trained = replace(
        loaded.card.preprocessing,
        calibration=AS_TRAINED,
        threshold=0.5,
        class_thresholds={},
        least_piece=0.0,
        mirrored=mirrored or loaded.card.preprocessing.mirrored,
        frame_size=loaded.card.preprocessing.frame_size if frame_size is None else frame_size,
    )
    check(as_trained)
    loaded = replace(loaded, card=replace(loaded.card, preprocessing=as_trained))
    whole = every or validation
    scores, changes = _calibrated(loaded, whole, main, progress)
    preprocessing = replace(as_trained, **changes)
    kept = {"validation": scores}
    if main:
        place = loaded.need_main_branches()
        calibrated = replace(loaded, card=replace(loaded.card, preprocessing=preprocessing))
        found, own = _main_branches(calibrated, validation, lambda done: progress(len(whole) + done))
        preprocessing = replace(preprocessing, class_thresholds={loaded.classes[place].name: own})
        kept = {"every vessel": scores, "main branches": found}
    card = replace(
        loaded.card,
        preprocessing=preprocessing,
        description=loaded.card.description if description is None else description,
        scores=kept,
    )
    save_checkpoint(output, state, card, half=True)
    return {**scores, "main": kept["main branches"]} if main else scores


def _mean(card: Card, state: dict[str, Tensor], average: str | Path) -> dict[str, Tensor]:
    """The mean of the weights of two models."""
    path = find_model(average)
    other = read_card(path)
    if (other.architecture, other.options, other.classes) != (card.architecture, card.options, card.classes):
        raise CheckpointError(f"{path} is another network, or tells other classes apart: average a model with its like")
    found = read_state(path)
    return {name: (one + found[name]) / 2 if one.is_floating_point() else one for name, one in state.items()}


def _calibrated(
    model: Model, frames: Sequence[LabelledFrame], specks: bool, progress: Callable[[int], object]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores on frames, and what of the preprocessing they ask for: calibration, threshold, least piece.

    Args:
        model: as it was trained.
        frames: in which every vessel that it is to find is labelled.
        specks: whether small pieces may be left out. A label of main branches has pieces, where a branch between them
            is none.
        progress: is told how many frames are done.
    """
    pairs, everywhere, near = [], [], []
    for done, frame in enumerate(frames, 1):
        p, truth = model.predict(frame.frame()), frame.mask()
        pairs.append((p, truth))
        everywhere.append(Reliability.of(p, truth))
        close = _around(p >= 0.5)  # and not what is true, which the model could not know
        near.append(Reliability.of(p[close], truth[close]))
        progress(done)
    best, least = best_threshold(everywhere), 0.0
    if specks:
        best, least = max(
            ((t, piece) for t in (best, *THRESHOLDS) for piece in PIECES),
            key=lambda chosen: np.mean([dsc(without_specks(p >= chosen[0], chosen[1]), truth) for p, truth in pairs]),
        )
    overlap, line = mean_overlap((without_specks(p >= best, least), truth) for p, truth in pairs)
    scores = {"frames": len(frames), "dsc": round(overlap, 2), "cldice": round(line, 2)}
    for name, tables in (("ece", everywhere), ("ece_near", near)):
        scores[f"{name}_as_trained"] = round(100 * _sum(tables).error(), 2)
        halves = (_sum(tables[k::2]).calibrated(fit(_sum(everywhere[1 - k :: 2]))) for k in (0, 1))
        scores[name] = round(100 * _sum(halves).error(), 2)
    calibration = fit(_sum(everywhere))
    threshold = float(calibrate(np.array(best, np.float32), calibration))
    return scores, {"calibration": calibration, "threshold": threshold, "least_piece": least}


def _main_branches(
    model: Model, frames: Sequence[LabelledFrame], progress: Callable[[int], object]
) -> tuple[dict[str, float], float]:
    """Scores on frames in which main branches alone are labelled, and the best threshold of their class.

    It is at least that of vessel: a main branch is one.
    """
    counts, pairs = [], []
    for done, frame in enumerate(frames, 1):
        p, within = model.rules.vessels(model.predict_classes(frame.frame()), "main", 0.0)
        p, truth = p * within, frame.mask()
        counts.append(Reliability.of(p, truth))
        pairs.append((p, truth))
        progress(done)
    own = max(best_threshold(counts), model.threshold)
    overlap, line = mean_overlap((p >= own, truth) for p, truth in pairs)
    return {"frames": len(frames), "dsc": round(overlap, 2), "cldice": round(line, 2)}, own


def package_encoder(model: str | Path, output: Path, description: str | None = None) -> None:
    """Write a pretrained encoder, with its decoder and S where it has them, in half precision, without calibration.

    Args:
        model: by name, file or run folder.
        output: a `.safetensors` file; an older one is replaced.
        description: one line for people; None = that of the model.

    Raises:
        CheckpointError: it was not made by pretraining.
    """
    path = find_model(model)
    card = read_card(path)
    if not card.pretrained:
        raise CheckpointError(f"{path} is a {card.kind}: give labelled frames (--validation) to calibrate it on")
    description = card.description if description is None else description
    save_checkpoint(output, read_state(path), replace(card, description=description), half=True)


def _around(vessels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR + 1, 2 * NEAR + 1))
    return cv2.dilate(vessels.astype(np.uint8), disc).astype(bool)


def _sum(tables: Iterable[Reliability]) -> Reliability:
    return sum(tables, Reliability.empty())

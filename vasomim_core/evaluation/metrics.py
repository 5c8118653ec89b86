"""Scores of a vessel mask against the true one, at the frame's own size, and their means over frames.

Masks are (H, W) arrays; anything but 0 is vessel, and what is graded, like a probability, is refused.
P is the predicted and G the true set of vessel pixels.
An empty mask never divides by zero:

| P     | G     | DSC, clDice, IoU, sensitivity, precision | HD95               |
|-------|-------|------------------------------------------|--------------------|
| empty | empty | 1                                        | 0                  |
| empty | any   | 0                                        | frame's diagonal   |
| any   | empty | 0                                        | frame's diagonal   |

The diagonal is longer than any distance inside the frame. So no frame drops out of a mean (a NaN would
reward the model that finds nothing), and every mean is a number.

Each raises `LabelError` where the masks are not two-dimensional or differ in size. Only `hd95`, and with it
`score_frame`, loads torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike
from skimage.morphology import skeletonize

from vasomim_core.errors import InputError, LabelError
from vasomim_core.labels.mask import Mask


def dsc(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Dice similarity coefficient 2|P ∩ G| / (|P| + |G|), in [0, 1]; 1 if both masks are empty."""
    p, g = _pair(prediction, truth)
    return _ratio(2 * _count(p & g), _count(p) + _count(g), p, g)


def iou(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Intersection over union |P ∩ G| / |P ∪ G| (Jaccard), in [0, 1]; 1 if both masks are empty."""
    p, g = _pair(prediction, truth)
    return _ratio(_count(p & g), _count(p | g), p, g)


def sensitivity(prediction: ArrayLike, truth: ArrayLike) -> float:
    """True vessel that was found, |P ∩ G| / |G|, in [0, 1]; if G is empty, 1 if P is too, else 0."""
    p, g = _pair(prediction, truth)
    return _ratio(_count(p & g), _count(g), p, g)


def precision(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Prediction that is true vessel, |P ∩ G| / |P|, in [0, 1]; if P is empty, 1 if G is too, else 0."""
    p, g = _pair(prediction, truth)
    return _ratio(_count(p & g), _count(p), p, g)


def cldice(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Centreline Dice, in [0, 1]; 1 if both masks are empty, 0 if one is.

    The harmonic mean of topology precision |S_P ∩ G| / |S_P| and topology sensitivity |S_G ∩ P| / |S_G|, with
    S the skeleton by scikit-image's `skeletonize` (Shit et al., "clDice", CVPR 2021, equations 1 and 2).
    """
    p, g = _pair(prediction, truth)
    if not (p.any() and g.any()):
        return float(p.any() == g.any())
    topology_precision = precision(skeletonize(p), g)
    topology_sensitivity = sensitivity(p, skeletonize(g))
    total = topology_precision + topology_sensitivity
    return 2 * topology_precision * topology_sensitivity / total if total else 0.0


def hd95(prediction: ArrayLike, truth: ArrayLike) -> float:
    """95th percentile Hausdorff distance between the masks' edges, in pixels; 0 if both masks are empty.

    The larger of the two directed 95th percentiles, computed by MONAI. If just one mask is empty, it is the
    frame's diagonal √(H² + W²).
    """
    p, g = _pair(prediction, truth)
    if not (p.any() and g.any()):
        return 0.0 if p.any() == g.any() else float(np.hypot(*p.shape))

    import torch
    from monai.metrics import compute_hausdorff_distance

    with warnings.catch_warnings():
        # MONAI 1.6 warns of a deprecated argument that it passes to itself.
        warnings.simplefilter("ignore", FutureWarning)
        distance = compute_hausdorff_distance(
            torch.from_numpy(p)[None, None],
            torch.from_numpy(g)[None, None],
            include_background=True,
            percentile=95,
        )
    return float(distance)


@dataclass(frozen=True)
class FrameScores:
    """The scores of one frame, or their means.

    Attributes:
        name: The frame: its stem, followed by [t] in a stack.
        dsc: Dice similarity coefficient, 0 to 1.
        cldice: Centreline Dice, 0 to 1.
        iou: Intersection over union, 0 to 1.
        sensitivity: Share of the true vessel that was found, 0 to 1.
        precision: Share of the predicted vessel that is true, 0 to 1.
        hd95: 95th percentile Hausdorff distance, in pixels.
    """

    name: str
    dsc: float
    cldice: float
    iou: float
    sensitivity: float
    precision: float
    hd95: float


METRICS = tuple(field.name for field in fields(FrameScores) if field.name != "name")
"""The names of the metrics, in the order of `FrameScores`."""


def score_frame(prediction: ArrayLike, truth: ArrayLike, name: str = "") -> FrameScores:
    """Score one predicted mask (H, W) against the true one; anything but 0 is vessel.

    Raises:
        LabelError: the masks are not two-dimensional or differ in size.
    """
    metrics = (dsc, cldice, iou, sensitivity, precision, hd95)
    return FrameScores(name, *(metric(prediction, truth) for metric in metrics))


def mean_scores(rows: Sequence[FrameScores]) -> dict[str, float]:
    """The mean over frames of each metric, by its name in `METRICS`; every frame counts.

    Raises:
        InputError: there is no frame.
    """
    if not rows:
        raise InputError("There is no frame to take a mean over.")
    return {metric: float(np.mean([getattr(row, metric) for row in rows])) for metric in METRICS}


def mean_overlap(pairs: Iterable[tuple[ArrayLike, ArrayLike]]) -> tuple[float, float]:
    """Mean DSC and clDice in percent over frames: what a model is judged by while it is trained. Free of torch.

    Args:
        pairs: predicted and true mask (H, W) of each frame.

    Raises:
        InputError: there is no frame.
    """
    rows = [(dsc(found, truth), cldice(found, truth)) for found, truth in pairs]
    if not rows:
        raise InputError("There is no frame to take a mean over.")
    means = 100 * np.mean(rows, axis=0)
    return float(means[0]), float(means[1])


def _pair(prediction: ArrayLike, truth: ArrayLike) -> tuple[Mask, Mask]:
    # PIL's one-bit images become bool arrays of byte 255, on which `skeletonize` crashes. A comparison mends
    # them, astype(bool) does not.
    for name, given in (("prediction", prediction), ("truth", truth)):
        values = np.asarray(given)
        if values.dtype.kind == "f" and ((values != 0) & (values != values.max(initial=0))).any():
            raise LabelError(f"The {name} is no mask, its values are graded: compare a probability with a threshold.")
    p, g = np.asarray(prediction) != 0, np.asarray(truth) != 0
    if p.shape != g.shape or p.ndim != 2:
        raise LabelError(f"A prediction {p.shape} and its truth {g.shape} must be two masks (H, W) of one size.")
    return p, g


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _ratio(part: int, whole: int, p: Mask, g: Mask) -> float:
    return part / whole if whole else float(not p.any() and not g.any())

"""Masks that a person drew on some frames of a run, carried to all of its frames.

A pixel's log odds of being vessel are

    m·(a + b·r) + c·logit(q) − d·logit(q₀) − e,

with m how much of the carried mask lies there, r the contrast that is left of the anchor's around it, q what the model
says (or vesselness, without one), the mean over the frame and those beside it, and q₀ what it said at this place of the
vessel on the anchor. So what the model takes for vessel where the person drew none, or misses where one was drawn, is
not believed elsewhere either. a to e come from a logistic regression on six synthetic runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from vasomim_core.classes import ClassMask
from vasomim_core.errors import ConfigError, InputError, LabelError
from vasomim_core.following.flicker import mean_along
from vasomim_core.following.motion import Evidence, Map, Way, disagreement, evidence, motion
from vasomim_core.reading import Frames

# a, b, c, d, e.
WITH_MODEL = (4.44, 2.17, 1.14, 0.58, 2.64)
WITH_VESSELNESS = (1.95, 5.56, 1.08, 0.53, 2.79)

RESIDUAL, ASTRAY, FAR = 0.05, 5.0, 8.0
"""Of two anchors that one counts e times as much at a pixel which fits by this much better (of 1), whose flow comes
back by so many px (of the reduced size) better, and which is so many frames nearer."""
SPREAD = 6.0  # σ in px of the reduced size, over which contrast is compared
LEAST_CONTRAST = 2.0  # grey levels, below which the anchor's own contrast says nothing
SHAKEN = 0.5
"""Power of the share of vessels whose flow comes back, by which trust falls without a model. On synthetic runs of 24
frames at 7.5 a second, followed from one or three of them, its rank correlation with DSC where vessels were found was
0.904 without and is 0.912 with it (seeds 0 to 4, on which 0.25 and 0.5 were tried), 0.863 and 0.887 on seeds 10 to 13.
With a model it is none the better for it (0.883, 0.866): what the model does not see has lowered it already."""
UNSURE = 0.8
"""Trust below which a reason is given."""
LEAST = 0.2
"""Trust below which nothing is drawn: before contrast agent comes, what is left of a carried mask is noise."""
LEFT, VISIBLE, ALIKE, SAME = 0.9, 0.5, 0.7, 2.0
"""Shares of the anchor's vessels that stay in the frame, of their contrast, and of them whose flow comes back to within
2 px, below which this is the reason."""


@dataclass(frozen=True)
class Followed:
    """One frame of a run that was followed.

    Attributes:
        index: of the frame, from 0.
        mask: uint8 (H, W), values of the anchors' masks; of an anchor, what was drawn. Empty of vessels where less
            than `LEAST` is to be trusted.
        trust: in [0, 1], the DSC that is expected of what was found; 1 of an anchor.
        reason: why it is not trusted, in a few words; "" where it is.
        anchor: it was drawn.
    """

    index: int
    mask: ClassMask
    trust: float
    reason: str = ""
    anchor: bool = False


def unsure(found: Iterable[Followed]) -> list[Followed]:
    """The frames to look at first: those that are not trusted, the least trusted first.

    Where no vessel was found comes last: before the contrast agent arrives that is as it should be.
    """
    return sorted((one for one in found if one.reason), key=lambda one: (not one.mask.any(), one.trust))


def follow(
    frames: Sequence[NDArray[np.uint8]] | Frames,
    anchors: Mapping[int, ClassMask],
    probabilities: Sequence[NDArray[np.floating]] | None = None,
    others: Collection[int] = (),
) -> Iterator[Followed]:
    """Carry masks of some frames through their run.

    A frame between two anchors is reached from both, another one from the nearest. Anchors stay as they are.

    Args:
        frames: uint8 (H, W) each, vessels dark, in the order of time; each is asked for some times.
        anchors: what was drawn, uint8 (H, W), by the index of its frame; 0 = background.
        probabilities: a model's, of vessel, (H, W) in [0, 1] for each frame; None = without a model, which is worse.
        others: values of the masks that are no vessel, such as a catheter's: they are carried without the model.

    Yields:
        What each frame shows, in their order.

    Raises:
        ConfigError: no anchor, or one of a frame that is not there.
        LabelError: an anchor is no class mask, of another size than its frame, or has no vessel in it.
        InputError: there are not as many probabilities as frames, or one is of another size.
    """
    count = len(frames)
    if not anchors:
        raise ConfigError("no anchor is given; give the mask of at least one frame")
    if probabilities is not None and len(probabilities) != count:
        raise InputError(f"there are {count} frames and {len(probabilities)} probabilities: give one for each")
    for index, mask in sorted(anchors.items()):
        if not 0 <= index < count:
            raise ConfigError(f"there is no frame {index} to start from; this run has the frames 0 to {count - 1}")
        shape = np.shape(frames[index])
        if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8 or mask.shape != shape:
            size = "×".join(map(str, np.shape(mask)))
            raise LabelError(
                f"the mask of frame {index} is {size} and the frame {shape[0]}×{shape[1]} px: draw it on that frame"
            )
        if not (~np.isin(mask, [0, *others])).any():
            raise LabelError(f"the mask of frame {index} has no vessel in it: give one that shows what to follow")
    return _follow(_Run(frames, probabilities, shape), dict(anchors), tuple(others))


def _follow(run: _Run, anchors: dict[int, ClassMask], others: tuple[int, ...]) -> Iterator[Followed]:
    drawn = {index: _Anchor(index, mask, others, run) for index, mask in anchors.items()}
    for index in range(len(run.frames)):
        if index in anchors:
            yield Followed(index, anchors[index], 1.0, anchor=True)
            continue
        before = max((a for a in drawn if a < index), default=None)
        after = min((a for a in drawn if a > index), default=None)
        yield _reached(run, index, [drawn[a] for a in (before, after) if a is not None], others)
        run.forget(index - 1, keep=anchors)


class _Run:
    """What is known of the frames of a run; computed at first need, and kept while it is near."""

    def __init__(
        self,
        frames: Sequence[NDArray[np.uint8]] | Frames,
        probabilities: Sequence[NDArray[np.floating]] | None,
        shape: tuple[int, ...],
    ) -> None:
        self.frames, self.probabilities, self.shape = frames, probabilities, shape
        self.seen: dict[int, Evidence] = {}
        self.steady: dict[int, tuple[Map, Map]] = {}

    def evidence(self, index: int) -> Evidence:
        if index not in self.seen:
            frame = self.frames[index]
            probability = None if self.probabilities is None else self.probabilities[index]
            if frame.shape != self.shape:
                raise InputError(f"frame {index} has another size than the anchors' frames: give one run")
            self.seen[index] = evidence(frame, probability)
        return self.seen[index]

    def vessel(self, index: int) -> Map:
        """The model's probability (H, W), or vesselness in its place (h, w)."""
        found = self.evidence(index)
        return found.vesselness if self.probabilities is None else self.probabilities[index].astype(np.float32)

    def steadied(self, index: int) -> tuple[Map, Map]:
        """Log odds of vessel (H, W) and darkness (h, w), both the mean over the frame and those beside it."""
        if index not in self.steady:
            near = [i for i in (index - 1, index + 1) if 0 <= i < len(self.frames)]

            def planes(i: int) -> tuple[Evidence, Map]:
                seen = self.evidence(i)
                return seen, np.stack([_sized(plane, self.shape) for plane in (self.vessel(i), seen.darkness)])

            vessel, darkness = mean_along(planes(index), [planes(i) for i in near])
            self.steady[index] = _logit(vessel), _sized(darkness, self.evidence(index).vessels.shape)
        return self.steady[index]

    def forget(self, index: int, keep: Collection[int]) -> None:
        """Let go of what later frames do not need."""
        if index not in keep:
            self.steady.pop(index, None)
            if not any(abs(index - one) <= 1 for one in keep):
                self.seen.pop(index, None)


class _Anchor:
    """A mask that was drawn, and what is carried of it."""

    def __init__(self, index: int, mask: ClassMask, others: tuple[int, ...], run: _Run) -> None:
        self.index, self.mask = index, mask
        vessel = (mask != 0) & ~np.isin(mask, others)
        self.vessel = vessel.astype(np.float32)
        # Flow finds a vessel better where it is drawn than where the model alone sees it, and misses some.
        self.evidence = run.evidence(index)
        if run.probabilities is not None:
            seen = np.maximum(run.probabilities[index].astype(np.float32), self.vessel)
            self.evidence = evidence(run.frames[index], seen)
        self.odds, self.darkness = run.steadied(index)
        # The class of the nearest vessel, so that a vessel that comes out wider has its class up to its wall.
        nearest = distance_transform_edt(~vessel, return_distances=False, return_indices=True)
        self.territory = np.ascontiguousarray(mask[tuple(nearest)])


def _reached(run: _Run, index: int, anchors: list[_Anchor], others: tuple[int, ...]) -> Followed:
    """A frame that nothing was drawn on, from one anchor or two."""
    here = run.evidence(index)
    odds, darkness = run.steadied(index)
    small, shape = here.vessels.shape, odds.shape
    ways: list[Way] = []
    lain, belief, alike, contrast, stays = [], [], [], [], []
    for anchor in anchors:
        flow, back = motion(here, anchor.evidence), motion(anchor.evidence, here)
        astray = disagreement(flow, back).clip(max=8)
        way, small_way = Way.along(flow, shape), Way.along(flow, small)
        moved = small_way.bring(run.evidence(anchor.index).vessels.astype(np.float32))
        residual = cv2.GaussianBlur(np.abs(here.vessels - moved), (0, 0), 2) / 255
        lain.append(way.bring(anchor.vessel))
        belief.append(
            _sized(-residual / RESIDUAL - astray / ASTRAY, shape) - abs(index - anchor.index) / FAR  # to be normalised
        )
        ways.append(way)
        vessel = _sized(lain[-1], small)
        alike.append((vessel, astray <= SAME))
        contrast.append(vessel * small_way.bring(anchor.darkness))
        stays.append(float(Way.along(back, shape).inside[anchor.vessel > 0].mean()))

    weights = np.exp(np.stack(belief) - np.max(belief, axis=0))
    weights /= weights.sum(axis=0)

    def mean(planes: list[Map]) -> Map:
        return np.asarray((weights * np.stack(planes)).sum(axis=0), np.float32)

    m = mean(lain)
    before = mean([way.bring(anchor.odds) for way, anchor in zip(ways, anchors, strict=True)])
    union = np.max([vessel for vessel, _ in alike], axis=0)
    left, full = _near(union * darkness, union), _near(np.max(contrast, axis=0), union)
    r = (left / full.clip(min=LEAST_CONTRAST)).clip(0, 1.5)
    a, b, c, d, e = WITH_VESSELNESS if run.probabilities is None else WITH_MODEL
    p = 1 / (1 + np.exp(-(m * (a + b * _sized(r, shape)) + c * odds - d * before - e)))
    vessel = p >= 0.5
    trust = float(2 * p[vessel].sum() / (vessel.sum() + p.sum()))
    same = float(np.mean([(v * s).sum() / max(v.sum(), 1e-6) for v, s in alike]))
    if run.probabilities is None:
        trust *= same**SHAKEN
    if trust < LEAST:
        vessel[:] = False

    best = weights.argmax(axis=0)
    brought = [way.bring_values(anchor.territory) for way, anchor in zip(ways, anchors, strict=True)]
    classes = np.choose(best, brought)
    # Beyond the edge of an anchor's frame, its largest class is as good as any.
    values, counts = np.unique(anchors[0].territory, return_counts=True)
    classes[classes == 0] = values[counts.argmax()]
    mask = np.where(vessel, classes, 0).astype(np.uint8)
    for value in others:
        lies = mean([way.bring((one.mask == value).astype(np.float32)) for way, one in zip(ways, anchors, strict=True)])
        mask[(lies > 0.5) & ~vessel] = value

    visible = float((union * r).sum() / max(union.sum(), 1e-6))
    return Followed(index, mask, trust, "" if trust >= UNSURE else _reason(trust, min(stays), visible, same))


def _reason(trust: float, stays: float, visible: float, same: float) -> str:
    if trust < LEAST or visible < VISIBLE:
        return "contrast agent arrives or is washed out"
    if stays < LEFT:
        return "vessels leave the frame"
    if same < ALIKE:
        return "the motion is not sure"
    return "what is seen differs from what was drawn"


def _near(plane: Map, weight: Map) -> Map:
    """The mean of a plane near each pixel, under a weight that is in it already."""
    return cv2.GaussianBlur(plane, (0, 0), SPREAD) / (cv2.GaussianBlur(weight, (0, 0), SPREAD) + np.float32(1e-3))


def _logit(p: Map) -> Map:
    p = p.clip(0.004, 0.996)
    return np.log(p / (1 - p))


def _sized(plane: Map, shape: tuple[int, ...]) -> Map:
    if plane.shape == shape:
        return plane
    way = cv2.INTER_AREA if shape[0] < plane.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(plane, shape[::-1], interpolation=way)

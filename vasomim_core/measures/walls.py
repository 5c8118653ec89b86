"""The two walls of a vessel at sub-pixel accuracy, from the grey levels around its centreline.

Edges of a thin vessel cannot be seen one by one: blur moves them outwards. So the whole shadow is explained at once: at
each point of the centreline a lumen (`blurred_chord`) on a sloping ground, whose centre, radius, contrast and ground
change smoothly along the vessel, with one blur and one grey curve for all of them. Where a lumen is narrower than the
blur, its width and its depth are told apart by what the wider parts say of blur and contrast. It is the maximum a
posteriori of

    Σ ρ((y − b₀ − b₁x + r·q·G(x; c, r, σ, κ)) / noise) + ∫ (c″/τ_c)² + h((r/r̄)″/τ_r) + ((log q)″/τ_q)² + … ds

by damped Gauss-Newton steps (`wall_fit`); ρ is Geman & McClure's, by which other vessels lose their say (Black &
Rangarajan, IJCV 19(1), 1996); h is a square for small bends and grows in proportion to large ones, so that noise does
not read as a lesion and a lesion is not smoothed away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from vasomim_core.measures.centreline import STEP, Centreline
from vasomim_core.measures.wall_fit import ROUNDS, SATURATION, Belief, Unknowns, WallFit

Floats = NDArray[np.floating]

ACROSS = 0.5  # px between two samples across
BESIDE = 1.0, 5.0  # how far the ground is looked at beside a wall: times the radius, and px


@dataclass(frozen=True)
class Walls:
    """What was found along a centreline of n points.

    Attributes:
        centre: offset in px of the middle from the line, along its normals, (n,).
        diameter: from wall to wall in px, (n,).
        contrast: depth of the shadow over the grey level beside it, (n,).
        blur: σ in px of the point spread.
        noise: standard deviation of what is not explained, in grey levels.
    """

    centre: Floats
    diameter: Floats
    contrast: Floats
    blur: float
    noise: float


def find_walls(
    frame: Floats,
    line: Centreline,
    centre: Floats,
    diameter: Floats,
    belief: Belief = Belief(),  # noqa: B008 (frozen)
    rounds: int = ROUNDS,
) -> Walls:
    """Find the walls beside a centreline.

    Args:
        frame: (H, W), vessels dark.
        line: within the vessel, or beside it by less than its width.
        centre: first guess of the middle, offset in px along the normals, (n,).
        diameter: first guess in px, (n,).
        belief: what is known of the blur.
        rounds: at most so many steps.

    Returns:
        The walls.
    """
    radius = np.maximum(np.asarray(diameter, float) / 2, 0.8)
    reach = float((np.abs(centre) + radius * (1 + BESIDE[0])).max()) + BESIDE[1]
    side = np.ceil(reach / ACROSS)
    x = np.arange(-side, side + 1) * ACROSS
    grey = line.across(frame, x)
    beside = np.isnan(grey)
    grey = np.where(beside, np.nanmedian(grey), grey)
    seen = ~beside & _before_the_next(grey, x, centre, radius)
    fit = WallFit(x, grey, seen, STEP, belief)
    found, noise = fit.best(_start(fit, centre, radius), rounds)
    share = found.depth / np.maximum(found.local[:, 3], 1.0)
    return Walls(found.local[:, 0], 2 * found.radius, share, found.blur, noise)


def _start(fit: WallFit, centre: Floats, radius: Floats) -> Unknowns:
    """Radius and centre as guessed, and what ground and depth then are."""
    away = np.abs(fit.x[None] - centre[:, None]) / radius[:, None]
    ground = _mean(fit.grey, fit.seen & (away > 1.2))
    depth = np.maximum(ground - _mean(fit.grey, fit.seen & (away < 0.6)), 1.0)
    contrast = np.full(len(centre), np.log(np.median(depth / radius)))
    local = np.stack([centre, np.log(radius), contrast, ground, np.zeros(len(centre))], axis=1)
    return Unknowns(local, float(np.log(fit.belief.blur)), SATURATION)


def _mean(grey: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Mean of the chosen samples of each row and its neighbours, (n,)."""
    total = gaussian_filter1d((grey * chosen).sum(axis=1), 3 / STEP)
    return total / gaussian_filter1d(chosen.sum(axis=1).astype(float), 3 / STEP).clip(min=1e-6)


def _before_the_next(grey: Floats, x: Floats, centre: Floats, radius: Floats) -> NDArray[np.bool_]:
    """Where one has not come to another vessel yet: up to the brightest place behind which it gets darker again."""
    smooth = gaussian_filter1d(gaussian_filter1d(grey, 2.5 / STEP, axis=0), 0.7 / ACROSS, axis=1)
    rough = grey - smooth
    fall = 1.5 * 1.4826 * float(np.median(np.abs(rough - np.median(rough)))) + 1e-6
    out = x[None] - centre[:, None]
    within = np.abs(out) <= radius[:, None] * (1 + BESIDE[0]) + BESIDE[1]
    lowest = smooth.min() - 1
    for side in (-1, 1):
        beside = side * out > 0.6 * radius[:, None]
        outwards = np.where(beside, smooth, lowest)[:, ::side]
        highest = np.maximum.accumulate(outwards, axis=1)
        fallen = highest - outwards > fall
        # What counts ends at the top, not where the fall is seen; the first row of each that is there is the top.
        first = fallen.argmax(axis=1)
        top = (outwards == np.take_along_axis(highest, first[:, None], axis=1)).argmax(axis=1)
        end = np.where(fallen.any(axis=1), top, len(x))
        within &= (np.arange(len(x))[None] <= end[:, None])[:, ::side]
    return within

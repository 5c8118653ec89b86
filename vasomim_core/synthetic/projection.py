"""From space onto the detector: the C-arm's view, the way of the rays through vessels, and the exact truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from skimage.morphology import skeletonize

from vasomim_core.synthetic.tree import Vessel

Array = NDArray[np.float64]
Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

SOURCE = 750.0  # mm from the X-ray source to the isocentre
THREAD = 0.5  # px, width from which a tube is drawn
SEEN = 0.25  # share of the full concentration from which a vessel counts as visible


@dataclass(frozen=True)
class CArm:
    """A C-arm position and the window of the detector.

    Attributes:
        angles: primary (LAO positive, RAO negative) and secondary (cranial positive) in degrees.
        shape: (H, W) in px.
        spacing: mm per px in the isocentre.
        centre: place of the middle of the frame, (right, up) in mm in the isocentre's plane.
    """

    angles: tuple[float, float]
    shape: tuple[int, int]
    spacing: float
    centre: tuple[float, float] = (0.0, 0.0)

    @property
    def axes(self) -> Array:
        """(3, 3) unit rows in patient coordinates: right and up in the frame, towards the detector."""
        a, b = np.deg2rad(self.angles)
        return np.array(
            [
                [np.cos(a), np.sin(a), 0.0],
                [-np.sin(a) * np.sin(b), np.cos(a) * np.sin(b), np.cos(b)],
                [np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)],
            ]
        )

    def project(self, points: Array) -> tuple[Array, Array]:
        """Central projection.

        Args:
            points: (n, 3) in mm, patient coordinates.

        Returns:
            Places (n, 2) as (x, y) in px, pixel centres at whole numbers, and the px per mm there, (n,).
        """
        right, up, near = (points @ self.axes.T).T
        scale = SOURCE / (SOURCE + near) / self.spacing
        x = right * scale - self.centre[0] / self.spacing + (self.shape[1] - 1) / 2
        y = self.centre[1] / self.spacing - up * scale + (self.shape[0] - 1) / 2
        return np.stack([x, y], axis=1), scale

    def grid(self, stride: int = 1) -> tuple[Map, Map]:
        """Places (right, up) in mm of every `stride`-th pixel, each (⌈H / stride⌉, ⌈W / stride⌉)."""
        h, w = self.shape
        right = (np.arange(0, w, stride) - (w - 1) / 2) * self.spacing + self.centre[0]
        up = self.centre[1] - (np.arange(0, h, stride) - (h - 1) / 2) * self.spacing
        x, y = np.meshgrid(right.astype(np.float32), up.astype(np.float32))
        return x, y


@dataclass(frozen=True)
class Line:
    """A tube as the detector sees it, sampled so densely that its discs join to within 1/40 px.

    Attributes:
        xy: (n, 2) places in px.
        radii: (n,) in px.
        weight: (n,) concentration over the cosine of the tilt against the detector, at most 2.5 times.
        scale: (n,) px per mm.
        seen: (n,) bool, in the truth: wide enough, filled enough.
    """

    xy: Array
    radii: Array
    weight: Array
    scale: Array
    seen: Mask


def project_tube(c_arm: CArm, points: Array, radii: Array, concentration: Array, least_width: float) -> Line:
    """Project a tube and resample it for drawing.

    Args:
        c_arm: from where.
        points: (n, 3) in mm.
        radii: (n,) in mm.
        concentration: (n,), 1 = full contrast.
        least_width: px; the line is not `seen` from where it gets thinner for good.

    Returns:
        The line, possibly with no samples.
    """
    xy, scale = c_arm.project(points)
    r = radii * scale
    wide = np.flatnonzero(2 * r >= least_width)
    drawn = np.flatnonzero(2 * r >= THREAD)
    end = int(drawn[-1]) + 1 if len(drawn) else 0
    if end < 3:
        empty = np.zeros(0)
        return Line(np.zeros((0, 2)), empty, empty, empty, np.zeros(0, dtype=bool))
    flat = np.linalg.norm(np.diff(xy[:end], axis=0), axis=1)
    deep = np.linalg.norm(np.diff(points[:end], axis=0), axis=1) * scale[1:end]
    cosine = gaussian_filter1d(flat / np.maximum(deep, 1e-6), 3)
    tilt = 1 / np.clip(np.concatenate([cosine[:1], cosine]), 0.4, 1)
    # Discs of radius r, a step s apart, leave dents of s²/8r.
    steps = flat / np.sqrt(0.2 * np.maximum(r[1:end], 0.5))
    s = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, s[-1], int(s[-1]) + 2)
    values = (xy[:end, 0], xy[:end, 1], r[:end], tilt, scale[:end], concentration[:end], np.arange(end))
    x, y, r, tilt, scale, filled, place = (np.interp(at, s, v) for v in values)
    return Line(
        np.stack([x, y], axis=1), r, tilt * filled, scale, (filled >= SEEN) & (place <= (wide[-1] if len(wide) else -1))
    )


def stamp(line: Line, thickness: Map, inside: Mask | None = None) -> None:
    """Draw a line's thickness, in mm, as the maximum over its discs, and its exact outline.

    A disc of radius r is 2·√(r² − d²) thick at a distance d from its centre; what is drawn is the mean of this
    over the width of a pixel, in closed form, so that vessels of a pixel's width keep their absorption.

    Args:
        line: what to draw.
        thickness: (H, W) float32, raised in place.
        inside: (H, W) bool, set in place where a pixel's centre is within the lumen of a visible part.
    """
    h, w = thickness.shape
    reach = np.ceil(line.radii + 0.5).astype(int)
    near = (np.abs(line.xy - (w / 2, h / 2)) < np.stack([w / 2 + reach, h / 2 + reach], axis=1)).all(axis=1)
    for k in np.unique(reach[near]):
        chosen = near & (reach == k)
        xy, r = line.xy[chosen].astype(np.float32), line.radii[chosen, None].astype(np.float32)
        base = np.rint(xy).astype(np.int32)
        span = np.arange(-k, k + 1, dtype=np.int32)
        dy, dx = (o.ravel() for o in np.meshgrid(span, span, indexing="ij"))
        px, py = base[:, :1] + dx, base[:, 1:] + dy
        d = np.hypot(px - xy[:, :1], py - xy[:, 1:])
        use = (d < r + 0.5) & (px >= 0) & (px < w) & (py >= 0) & (py < h)
        where = (py * w + px)[use]
        d, r = d[use], np.broadcast_to(r, use.shape)[use]
        factor = np.broadcast_to((line.weight / line.scale)[chosen, None], use.shape)[use]
        np.maximum.at(thickness.reshape(-1), where, (factor * _mean_chord(r, d)).astype(np.float32))
        if inside is not None:
            inside.reshape(-1)[where[(d <= r) & np.broadcast_to(line.seen[chosen, None], use.shape)[use]]] = True


def _mean_chord(r: Map, d: Map) -> Map:
    """Mean of 2·√(r² − x²) over x in [d − ½, d + ½]."""

    def primitive(x: Map) -> Map:
        q = np.clip(x / r, -1, 1)
        return r * r * (q * np.sqrt(1 - q * q) + np.arcsin(q))

    return primitive(d + 0.5) - primitive(d - 0.5)


@dataclass(frozen=True)
class Projection:
    """What a frame shows of a tree.

    Attributes:
        thickness: (H, W) float32, mm of undiluted contrast agent along each ray; overlapping vessels add up.
        mask: (H, W) bool, pixels whose centre lies within a visible lumen.
        centreline: (H, W) bool, one px wide, within the mask.
    """

    thickness: Map
    mask: Mask
    centreline: Mask


def project_tree(
    c_arm: CArm,
    vessels: Sequence[Vessel],
    points: Sequence[Array],
    filling: Sequence[Array],
    field: Mask,
    least_width: float,
) -> Projection:
    """Project a tree.

    Args:
        c_arm: from where.
        vessels: parents before children.
        points: the vessels' points now, (n, 3) in mm each.
        filling: concentration along each vessel, (n,), 0 to about 1.
        field: (H, W) bool, what the collimator leaves open; there is no truth outside.
        least_width: px; thinner ends of branches are in the thickness and not in the truth.

    Returns:
        Thickness, mask and centreline.
    """
    total = np.zeros(c_arm.shape, dtype=np.float32)
    mask, centre = np.zeros(c_arm.shape, dtype=bool), np.zeros(c_arm.shape, dtype=np.uint8)
    alone: list[Map] = []
    for vessel, where, concentration in zip(vessels, points, filling, strict=True):
        own = np.zeros(c_arm.shape, dtype=np.float32)
        line = project_tube(c_arm, where, vessel.radii, concentration, least_width)
        stamp(line, own, mask)
        alone.append(own)
        if vessel.parent >= 0:
            own = _without_parent(own, alone[vessel.parent], line, vessels[vessel.parent].radii[vessel.junction])
        total += own
        trace = np.rint(line.xy).astype(np.int32)
        for a in np.split(np.arange(len(trace)), np.flatnonzero(np.diff(line.seen)) + 1):
            if len(a) > 1 and line.seen[a[0]]:
                cv2.polylines(centre, [trace[a, None]], isClosed=False, color=1)
    mask &= field
    return Projection(total, mask, skeletonize(centre.astype(bool) & mask))


def _without_parent(own: Map, parent: Map, line: Line, parent_radius: float) -> Map:
    """At the junction the two lumens are one: a ray passes their union, not one after the other."""
    if not len(line.xy):
        return own
    (x, y), reach = line.xy[0], int(3 * parent_radius * line.scale[0]) + 2
    h, w = own.shape
    top, bottom = np.clip([int(y) - reach, int(y) + reach + 1], 0, h)
    left, right = np.clip([int(x) - reach, int(x) + reach + 1], 0, w)
    box = np.s_[top:bottom, left:right]
    rows, columns = np.ogrid[top:bottom, left:right]
    joined = np.hypot(rows - y, columns - x) < reach
    rest = own.copy()
    rest[box] = np.where(joined, np.maximum(own[box] - parent[box], 0), own[box])
    return rest

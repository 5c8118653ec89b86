"""What lies in the way in frames of other rooms, drawn into a view: phantom tubes, wires and clips, collimators.

Tubes with a rounded profile are vessels (a phantom's), sharp wires, electrodes and clips are none. All of it absorbs:
grey levels are multiplied by exp(−depth).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from vasomim_core.classes import LARGEST_VALUE
from vasomim_core.data.codes import LIKELY, NO_VESSEL, SOME_VESSEL, UNKNOWN

Grey = NDArray[np.uint8]
Map = NDArray[np.float32]
POINTS = 60
"""Along a drawn line."""


def with_clutter(view: Grey, codes: Grey, rng: Generator, empty: bool = False) -> tuple[Grey, Grey]:
    """Draw what may lie in the way, each kind into some views only.

    Args:
        view: uint8 (S, S).
        codes: uint8 (f·S, f·S), see `codes`; changed where something is drawn: what is on a tube is vessel, what is on
            a wire or behind a collimator is none.
        rng: source of chance.
        empty: the view shows no real vessel, as a synthetic one with all of its truth: more tubes are drawn.

    Returns:
        view and codes, new arrays.
    """
    x: Map = view.astype(np.float32) / np.float32(255)
    codes = codes.copy()
    kept = np.zeros(256, bool)
    kept[[*range(1, LARGEST_VALUE + 1), SOME_VESSEL, LIKELY, UNKNOWN]] = True
    vessel = kept[codes]
    if rng.random() < (0.2 if empty else 0.08):
        for _ in range(int(rng.integers(1, 4))):
            _tube(x, codes, rng)
    if rng.random() < 0.18:
        for _ in range(int(rng.integers(1, 4))):
            _metal(x, codes, vessel, rng)
    if rng.random() < 0.12:
        _collimator(x, codes, rng)
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8), codes


def _course(side: int, rng: Generator, bends: int, bend: float) -> NDArray[np.float64]:
    """A line across a view, (`POINTS`, 2) in px: straight pieces that turn by `bend` radians, drawn as a spline."""
    place, way = rng.uniform(-0.1, 1.1, 2) * side, rng.uniform(0, 2 * np.pi)
    places = [place]
    for _ in range(bends):
        way += rng.normal(0, bend)
        place = place + np.array([np.cos(way), np.sin(way)]) * side * rng.uniform(0.15, 0.5)
        places.append(place)
    t = np.linspace(0, 1, POINTS)
    if bends == 1:
        return places[0] + (places[1] - places[0]) * t[:, None]
    return CubicSpline(np.linspace(0, 1, bends + 1), np.array(places))(t)


def _tube(x: Map, codes: Grey, rng: Generator) -> None:
    """A tube full of contrast agent, straight or bent, that may taper."""
    side, detail = x.shape[0], codes.shape[0] // x.shape[0]
    course = _course(side, rng, int(rng.integers(1, 5)), float(rng.choice([0.0, 0.1, 0.5])))
    wide = float(np.exp(rng.uniform(np.log(1.2), np.log(11))))
    radii = np.linspace(wide, wide * rng.uniform(0.4, 1), POINTS)
    inside = np.zeros(codes.shape, np.uint8)
    at = np.rint(course * detail * 16).astype(int)
    for a, b, radius in zip(at[:-1], at[1:], radii[:-1], strict=True):
        cv2.line(inside, tuple(a), tuple(b), 1, max(1, round(2 * detail * radius)), cv2.LINE_8, 4)
    # Half a chord through a round tube, from the distance to its wall.
    wall = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / detail
    chord = np.sqrt(np.clip(2 * wide * wall - wall**2, 0, None)) / wide
    depth = cv2.resize(chord * rng.uniform(0.12, 0.6), (side, side), interpolation=cv2.INTER_AREA)
    x *= np.exp(-cv2.GaussianBlur(depth.astype(np.float32), (0, 0), rng.uniform(0.4, 1)))
    codes[inside > 0] = SOME_VESSEL


def _metal(x: Map, codes: Grey, vessel: NDArray[np.bool_], rng: Generator) -> None:
    """A wire, a coil, a handful of clips, an electrode: sharp, of even depth. A vessel beneath it stays one."""
    side, drawn, kind = x.shape[0], np.zeros(x.shape, np.float32), rng.random()
    if kind < 0.6:
        course = _course(side, rng, int(rng.integers(1, 4)), float(rng.choice([0.0, 0.3, 1.0])))
        line = np.rint(course * 16).astype(np.int32)[:, None]
        cv2.polylines(drawn, [line], False, 1.0, int(rng.integers(1, 4)), cv2.LINE_AA, 4)
        if kind < 0.15:
            drawn *= np.sin(np.arange(side) / rng.uniform(0.8, 3))[None] > 0
    elif kind < 0.85:
        for _ in range(int(rng.integers(1, 7))):
            a = rng.uniform(0, side, 2)
            start, end = (tuple(np.rint(p).astype(int)) for p in (a, a + rng.normal(0, 6, 2)))
            cv2.line(drawn, start, end, 1.0, int(rng.integers(1, 5)), cv2.LINE_AA)
    else:
        centre = tuple(np.rint(rng.uniform(0, side, 2)).astype(int))
        cv2.circle(drawn, centre, int(rng.integers(3, 22)), 1.0, int(rng.choice([-1, 1, 2, 3])), cv2.LINE_AA)
    drawn = cv2.GaussianBlur(drawn, (0, 0), rng.uniform(0.3, 0.9))
    x *= np.exp(-drawn * rng.uniform(0.15, 1.5))
    there = cv2.resize(drawn, codes.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.35
    codes[there & ~vessel & (codes != SOME_VESSEL)] = NO_VESSEL


def _collimator(x: Map, codes: Grey, rng: Generator) -> None:
    """One or two straight blades, or a round opening; behind them there is nothing to see."""
    side = x.shape[0]
    row, column = np.mgrid[:side, :side].astype(np.float32)
    shut, soft = np.zeros_like(row), rng.uniform(0.5, 4)
    if rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 3))):
            way = rng.choice(4) * np.pi / 2 + rng.normal(0, 0.15)
            past = (column - side / 2) * np.cos(way) + (row - side / 2) * np.sin(way) - side * rng.uniform(0.25, 0.5)
            shut = np.maximum(shut, 1 / (1 + np.exp(-np.clip(past / soft, -30, 30))))
    else:
        middle = rng.uniform(0.3, 0.7, 2) * side
        past = np.hypot(column - middle[0], row - middle[1]) - side * rng.uniform(0.4, 0.7)
        shut = 1 / (1 + np.exp(-np.clip(past / soft, -30, 30)))
    x *= 1 - shut
    x += shut * rng.uniform(0, 0.12)
    codes[cv2.resize(shut, codes.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5] = NO_VESSEL

"""What lies in the way of the rays besides vessels: soft tissue, lungs, bones, devices; and the collimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from vasomim_core.synthetic.projection import SOURCE, CArm, project_tube, stamp
from vasomim_core.synthetic.tree import Heart, Tree

Array = NDArray[np.float64]
Map = NDArray[np.float32]

STRIDE = 2  # soft shadows are computed on every second pixel


@dataclass(frozen=True)
class Ellipsoid:
    """A homogeneous organ: its centre in mm, its half-axes as rows in mm, its absorption per mm over the rest."""

    centre: Array
    half_axes: Array
    absorption: float

    def shadow(self, c_arm: CArm, shift: float = 0.0) -> Map:
        """Absorption along parallel rays, (⌈H / STRIDE⌉, ⌈W / STRIDE⌉); `shift` moves the organ up, in mm."""
        shape = self.half_axes.T @ self.half_axes
        right, up, near = c_arm.axes
        flat = c_arm.axes[:2] @ shape @ c_arm.axes[:2].T
        x, y = c_arm.grid(STRIDE)
        centre = self.centre + np.array([0.0, 0.0, shift])
        x, y = x - np.float32(right @ centre), y - np.float32(up @ centre)
        inverse = np.linalg.inv(flat).astype(np.float32)
        q = inverse[0, 0] * x * x + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y * y
        longest = 2 / np.sqrt(near @ np.linalg.inv(shape) @ near)
        return np.float32(self.absorption * longest) * np.sqrt(np.maximum(1 - q, 0))


@dataclass(frozen=True)
class Background:
    """The patient behind the vessels.

    Attributes:
        still: (H, W) float32, absorption (−ln of the transmission) of what does not move.
        diaphragm: the domes that breathing moves.
        c_arm: from where.
    """

    still: Map
    diaphragm: tuple[Ellipsoid, ...]
    c_arm: CArm

    def absorption(self, breath: float = 0.0) -> Map:
        """Absorption (H, W), float32, with the diaphragm moved up by `breath` mm."""
        moving = sum((e.shadow(self.c_arm, breath) for e in self.diaphragm), np.zeros((1, 1), np.float32))
        return self.still + _enlarge(moving, self.c_arm.shape, blur=1.0)


def random_background(rng: Generator, c_arm: CArm, heart: Heart, strength: float, clutter: float) -> Background:
    """Draw a patient's chest.

    Args:
        rng: decides everything.
        c_arm: from where.
        heart: the tree's heart, which throws a shadow.
        strength: scales all shadows, 1 = as in real frames.
        clutter: scales how often wires and leads lie in the way, 1 = as in real frames.
    """
    k = strength * min(rng.lognormal(-0.1, 0.35), 1.5)
    half_axes = heart.axes * np.array([[heart.length], [heart.width], [heart.width]]) * rng.uniform(1.05, 1.25)
    organs = [Ellipsoid(rng.normal(0, 4, 3), half_axes, rng.uniform(0.0015, 0.006) * k)]
    for x in (-85, 75):
        at = np.array([x, 15, 15]) + rng.normal(0, 10, 3)
        lung = np.diag(np.array([48.0, 80.0, 115.0]) * rng.uniform(0.9, 1.1, 3))
        organs.append(Ellipsoid(at, lung, -rng.uniform(0.001, 0.0045) * k))
    soft = sum((o.shadow(c_arm) for o in organs), np.zeros((1, 1), np.float32))
    soft = soft + np.float32(k) * (
        _tissue(rng, soft.shape) + _spine(rng, c_arm) + _ribs(rng, c_arm) + _lung_vessels(rng, c_arm)
    )
    still = _enlarge(soft, c_arm.shape, blur=0.8) + np.float32(min(strength, 1.0)) * _devices(rng, c_arm, clutter)

    domes = []
    if rng.random() < 0.75:
        for x in (-70, 60):
            at = np.array([x, 10, -rng.uniform(88, 140)]) + rng.normal(0, 8, 3)
            dome = np.diag(np.array([78.0, 88.0, 75.0]) * rng.uniform(0.9, 1.15, 3))
            domes.append(Ellipsoid(at, dome, rng.uniform(0.0015, 0.006) * k))
    return Background(still, tuple(domes), c_arm)


def _enlarge(small: Map, shape: tuple[int, int], blur: float) -> Map:
    small = np.ascontiguousarray(np.broadcast_to(small, tuple(-(-n // STRIDE) for n in shape)))
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), blur), shape[::-1], interpolation=cv2.INTER_LINEAR)


def _tissue(rng: Generator, shape: Sequence[int]) -> Map:
    """Lung markings, fat and muscle: noise whose power falls with the third power of the frequency."""
    n = max(shape)
    frequency = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None] * rng.uniform(0.8, 1.3))
    exponent = np.float32(rng.uniform(1.08, 1.42))
    frequency = np.hypot(frequency, 4 / n).astype(np.float32)
    gain = 1 / frequency**exponent
    noise = rng.standard_normal((2, *gain.shape), dtype=np.float32)
    field = np.fft.irfft2((noise[0] + 1j * noise[1]) * gain, s=(n, n)).astype(np.float32)[: shape[0], : shape[1]]
    return field * np.float32(rng.uniform(0.02, 0.065) / max(field.std(), 1e-6))


def _spine(rng: Generator, c_arm: CArm) -> Map:
    """Vertebral bodies with end plates and pedicles, behind and to the right of the heart."""
    place = np.array([[rng.normal(-35, 6), rng.uniform(60, 85), 0.0]])
    right, _, near = c_arm.axes
    x, y = c_arm.grid(STRIDE)
    scale = np.float32(SOURCE / (SOURCE + near @ place[0]))
    x = x / scale - np.float32(right @ place[0])
    y = y / scale
    x = x + np.float32(rng.uniform(-0.06, 0.06)) * y + np.float32(rng.uniform(-6e-4, 6e-4)) * y * y
    half, period = rng.uniform(17, 23), rng.uniform(27, 32)
    phase = (y / period + rng.random()) % 1.0
    waist = half * (0.9 + 0.1 * np.cos(2 * np.pi * phase))
    soft = rng.uniform(1.5, 5)
    body = 1 / (1 + np.exp(np.clip((np.abs(x) - waist) / soft, -30, 30)))
    plates = np.exp(-(((phase - 0.5) * period / 2.0) ** 2))
    disc = np.exp(-((np.minimum(phase, 1 - phase) * period / 2.5) ** 2))
    rim = np.exp(-(((np.abs(x) - waist) / 1.6) ** 2))
    pedicles = _ring(np.abs(x) - 0.6 * half, (phase - 0.35) * period, 3.2, 5.0)
    process = np.exp(-((x / 2.5) ** 2) - (((phase - 0.6) * period / 7) ** 2))
    detail = 0.10 * rim + 0.12 * pedicles + 0.10 * process - 0.14 * disc * body + 0.05 * plates * body
    muscle = np.exp(-((x / (2.2 * half)) ** 4))
    a, b, c = rng.uniform(0.05, 0.45), rng.uniform(0.1, 0.9), rng.uniform(0.0, 0.15)
    return (a * body + b * detail + c * muscle).astype(np.float32)


def _ring(x: Map, y: Map, a: float, b: float) -> Map:
    return np.exp(-(((np.hypot(x / a, y / b) - 1) / 0.35) ** 2))


def _ribs(rng: Generator, c_arm: CArm) -> Map:
    """Ribs around the chest wall: tubes with a dense shell, sloping down to the front."""
    shape = tuple(-(-n // STRIDE) for n in c_arm.shape)
    total = np.zeros(shape, dtype=np.float32)
    t = np.linspace(np.pi / 2, 2.2 * np.pi - np.pi / 2, 60)  # from the spine along the side to the front
    slope, strength = rng.uniform(35, 60), rng.uniform(0.03, 0.2)
    first, gap = rng.uniform(60, 90), rng.uniform(24, 30)
    wide = rng.uniform(5, 8)
    for side in (-1, 1):
        for k in range(8):
            fall = slope * (1 - np.cos((t - t[0]) * 0.75)) / 2
            curve = np.stack([side * 125 * np.cos(t), 10 + 95 * np.sin(t), first - gap * (k - 1) - fall * 1.6], axis=1)
            curve[:, 0] -= 15
            xy, scale = c_arm.project(curve + rng.normal(0, 2, 3))
            xy, width = np.rint(np.clip(xy / STRIDE, -4000, 4000) * 8).astype(np.int32), wide * scale.mean() / STRIDE
            if width < 1:
                continue
            rib = np.zeros(shape, dtype=np.uint8)
            cv2.polylines(rib, [xy[:, None]], False, 255, max(1, round(2 * width)), cv2.LINE_AA, 3)
            cv2.polylines(rib, [xy[:, None]], False, 165, max(1, round(1.5 * width)), cv2.LINE_AA, 3)
            total += rib
    blur = max(0.5, rng.uniform(0.5, 1.2) / (c_arm.spacing * STRIDE))
    return cv2.GaussianBlur(total, (0, 0), blur) * np.float32(strength / 255)


def _lung_vessels(rng: Generator, c_arm: CArm) -> Map:
    """Faint, blurred branches of lung vessels: what a filter for ridges takes for coronary arteries."""
    shape = tuple(-(-n // STRIDE) for n in c_arm.shape)
    total = np.zeros(shape, dtype=np.float32)
    for softness in (0.8, 1.8):
        layer = np.zeros(shape, dtype=np.uint8)
        for _ in range(int(rng.integers(6, 18))):
            walk = rng.uniform(-80, 80, 2) + np.cumsum(rng.normal(0, 9, 2) + rng.normal(0, 9, (12, 2)), axis=0)
            xy = (
                CubicSpline(np.arange(12), walk)(np.linspace(0, 11, 60)) / c_arm.spacing
                + np.array(c_arm.shape)[::-1] / 2
            )
            width = max(1, round(rng.uniform(1.0, 4.0) / c_arm.spacing / STRIDE))
            places = np.rint(np.clip(xy / STRIDE, -4000, 4000) * 8).astype(np.int32)
            cv2.polylines(layer, [places[:, None]], False, int(rng.integers(60, 255)), width, cv2.LINE_AA, 3)
        blur = max(0.5, softness / (c_arm.spacing * STRIDE))
        total += cv2.GaussianBlur(layer.astype(np.float32), (0, 0), blur)
    return total * np.float32(rng.uniform(0.02, 0.14) / 255)


def _devices(rng: Generator, c_arm: CArm, clutter: float) -> Map:
    """Sternal wires, pacemaker lead and ECG cables: rare, thin, dense."""
    total = np.zeros(c_arm.shape, dtype=np.float32)

    def lay(points: Array, radius: float, density: float) -> None:
        spline = CubicSpline(np.arange(len(points)), points)(np.linspace(0, len(points) - 1, 200))
        own = np.zeros(c_arm.shape, dtype=np.float32)
        stamp(project_tube(c_arm, spline, np.full(200, radius), np.ones(200), 0.0), own)
        np.add(total, np.float32(density) * own, out=total)

    if rng.random() < 0.04 * clutter:
        turn = np.linspace(0, 2.1 * np.pi, 9)
        x0 = rng.normal(-10, 4)
        for z in np.arange(-50, 80, rng.uniform(22, 32)) + rng.normal(0, 3):
            size = rng.uniform(6, 13)
            loop = np.stack([x0 + size * np.cos(turn), -95 + 3 * np.cos(turn), z + 0.4 * size * np.sin(turn)], axis=1)
            lay(loop + rng.normal(0, 1.2, loop.shape), 0.35, 0.8)
    if rng.random() < 0.04 * clutter:
        way = [(20, -10, 140), (-30, 10, 70), (-45, 5, 10), (-30, -15, -30), (15, -45, -45)]
        lay(np.array(way) + rng.normal(0, 5, (5, 3)), 0.9, rng.uniform(0.15, 0.4))
    if rng.random() < 0.10 * clutter:
        start, end = rng.uniform(-120, 120, 3), rng.uniform(-120, 120, 3)
        for _ in range(int(rng.integers(1, 6))):
            start, end = start + rng.normal(0, 5, 3), end + rng.normal(0, 9, 3)
            middle = (start + end) / 2 + rng.normal(0, 12, 3)
            lay(np.stack([start, middle, end]), rng.uniform(0.4, 1.0), rng.uniform(0.02, 0.10))
    return total


def random_catheter(rng: Generator, tree: Tree, ostium: Array) -> tuple[Array, float]:
    """The guiding catheter: from the aortic arch down to the ostium, held against the opposite wall.

    Returns:
        Its course (n, 3) in mm, ending in the ostium, and its radius in mm.
    """
    trunk = tree.vessels[0].points
    away = ostium - trunk[min(30, len(trunk) - 1)]
    away /= np.linalg.norm(away)
    root = ostium + 12 * away
    # How far along `away`, then right-left, front-back and up, from the arch to the tip; with its scatter in mm.
    places = (
        (root, 0, (-4, 15, 190), 10),
        (root, 0, (-4, 15, 130), 8),
        (root, 0, (-8, 7, 75), 6),
        (root, 9, (0, 3, 32), 4),
        (root, 4, (0, 3, rng.uniform(2, 12)), 0),
        (ostium, 5, (0, 0, rng.uniform(-5, 2)), 0),
        (ostium, -2, (0, 0, 0), 0),
    )
    way = np.stack([o + k * away + np.array(d) + rng.normal(0, 1, 3) * scatter for o, k, d, scatter in places])
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
    course = CubicSpline(s, way)(np.linspace(0, s[-1], 400))
    return course, float(rng.choice([0.85, 1.0, 1.15]))

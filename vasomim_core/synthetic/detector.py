"""The end of the rays: collimator, scatter, quanta, blur and the display's grey levels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Detector:
    """What happens to the rays after the patient.

    Attributes:
        photons: mean count per pixel in the middle of the frame.
        scatter: share of the light that is spread over the frame.
        harmonization: exponent with which slow differences of brightness are levelled out, 0 = not at all.
        spread: σ of the point spread before the photons are counted, px of a frame of 512.
        grain: σ of the blur after it, px of any frame; it gives the noise its grain.
        brightness: grey level of the middle of the frame.
        gamma: exponent from light to grey level.
        sharpening: gain of the unsharp mask of the display.
        sharpening_width: its σ, px of a frame of 512.
    """

    photons: float
    scatter: float
    harmonization: float
    spread: float
    grain: float
    brightness: float
    gamma: float
    sharpening: float
    sharpening_width: float

    @classmethod
    def random(cls, rng: Generator, dose: float, blur: float) -> Detector:
        """A detector as one may meet it; `dose` and `blur` scale its photons and its blurs."""
        return cls(
            photons=dose * rng.lognormal(np.log(230), 0.2),
            scatter=rng.uniform(0.05, 0.3),
            harmonization=rng.uniform(0.0, 0.5),
            spread=blur * rng.uniform(0.4, 0.9),
            grain=blur * rng.uniform(0.5, 0.75),
            brightness=float(np.clip(rng.normal(112, 18), 70, 160)),
            gamma=rng.uniform(0.75, 1.15),
            sharpening=rng.uniform(0.0, 0.9) if rng.random() < 0.7 else 0.0,
            sharpening_width=rng.uniform(2.0, 14.0),
        )

    def record(self, rng: Generator, absorption: Map, opening: Map) -> NDArray[np.uint8]:
        """Photons to grey levels, (H, W) uint8."""
        h, w = absorption.shape
        unit = max(h, w) / 512
        light = np.exp(-absorption) * opening
        light = (1 - self.scatter) * light + self.scatter * _veil(light)
        light = _blur(light, self.spread * unit)
        middle = light[h // 4 : h - h // 4, w // 4 : w - w // 4].mean()
        counts = rng.poisson(light * (self.photons / middle)).astype(np.float32)
        signal = _blur(counts, self.grain) / np.float32(self.photons)
        if self.sharpening:
            signal = signal + self.sharpening * (signal - _blur(signal, self.sharpening_width * unit))
        # Angiography systems level the slow differences of brightness out.
        level = _veil(np.exp(-absorption))
        grey = self.brightness * (np.maximum(signal, 0) * (level.mean() / level) ** self.harmonization) ** self.gamma
        # The display compresses highlights instead of cutting them.
        knee = 185.0
        shown = np.where(grey > knee, knee + (255 - knee) * np.tanh((grey - knee) / (255 - knee)), grey)
        return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def random_collimator(rng: Generator, shape: tuple[int, int]) -> Map:
    """Share of the light that the blades let through, (H, W) float32; many frames show the field's edge."""
    h, w = shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    size = max(h, w)
    kind = rng.choice(["none", "blades", "frame", "inset", "round"], p=[0.44, 0.16, 0.31, 0.06, 0.03])
    if kind == "none":
        return np.ones(shape, dtype=np.float32)
    turn = np.deg2rad(rng.normal(0, 0.8))
    u = (x - w / 2) * np.cos(turn) + (y - h / 2) * np.sin(turn)
    v = (y - h / 2) * np.cos(turn) - (x - w / 2) * np.sin(turn)
    soft = size / 512 * rng.uniform(0.6, 2.0)
    if kind == "round":
        inside = rng.uniform(0.5, 0.56) * size - np.hypot(u, v)
        floor = 0.0
    elif kind == "blades":
        far = np.float32(size)
        inside = np.full(shape, far, dtype=np.float32)
        for edge in (w / 2 - u, w / 2 + u, h / 2 - v, h / 2 + v):
            if rng.random() < 0.4:
                inside = np.minimum(inside, edge - np.float32(rng.uniform(0.005, 0.09) * size))
        floor = rng.uniform(0.05, 0.4)
    else:
        margin = (0.01, 0.05) if kind == "frame" else (0.08, 0.13)
        a, b = w / 2 - rng.uniform(*margin) * size, h / 2 - rng.uniform(*margin) * size
        corner = rng.uniform(0.0, 0.035) * size
        qx, qy = np.abs(u) - (a - corner), np.abs(v) - (b - corner)
        inside = corner - np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) - np.minimum(np.maximum(qx, qy), 0)
        floor = rng.uniform(0.0, 0.15) if kind == "frame" else 0.0
    open_ = 1 / (1 + np.exp(np.clip(-inside / soft, -30, 30)))
    return (floor + (1 - floor) * open_).astype(np.float32)


def _veil(image: Map) -> Map:
    """Blurred over an eighth of the frame, through a coarse grid."""
    h, w = image.shape
    coarse = cv2.resize(image, (max(1, w // 16), max(1, h // 16)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(coarse, (0, 0), max(0.5, min(coarse.shape) / 8)), (w, h))


def _blur(image: Map, sigma: float) -> Map:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.15 else image

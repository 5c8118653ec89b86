"""How right measured diameters are: drawn vessels of known width, beside two common ways of measuring them.

The frames are drawn here, by nothing that measures: the way of the rays through lumens (round, and elliptical in
lesions) on a grid six times as fine, their light blurred, counted in photons and stored by a random curve in 8 bit.
Blur, dose, contrast and filling of each vessel are drawn from the ranges of `Camera.random` and `scene`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from vasomim_core.correction.cost import VesselCost
from vasomim_core.errors import InputError
from vasomim_core.measures.belief import belief_of
from vasomim_core.measures.centreline import resampled
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.segment import find_segment

Array = NDArray[np.floating]
FINE = 6  # per px
SHAPE = 220, 260
LENGTH = 150.0  # px of vessel
ENDS = 0.1, 0.9  # share of it at which is clicked
WAYS = "ours", "2·EDT − 1", "FWHM"


@dataclass(frozen=True)
class Tube:
    """A vessel: points (n, 2) in px, diameter (n,) in px, depth over width (n,), filling."""

    points: Array
    diameter: Array
    aspect: Array
    filling: float = 1.0

    def thickness(self) -> Array:
        """Way of the rays in px, on the fine grid."""
        out = np.zeros((SHAPE[0] * FINE, SHAPE[1] * FINE), np.float32)
        near = np.zeros(out.shape, np.uint8)
        pixels = np.rint((self.points[:, ::-1] + 0.5) * FINE - 0.5).astype(np.int32)
        cv2.polylines(near, [pixels], False, 1, int((self.diameter.max() + 3) * FINE))
        where = np.argwhere(near)
        distance, i = cKDTree(self.points).query((where + 0.5) / FINE - 0.5)
        chord = np.sqrt(np.maximum((self.diameter[i] / 2) ** 2 - distance**2, 0))
        out[tuple(where.T)] = 2 * self.filling * self.aspect[i] * chord
        return out


@dataclass(frozen=True)
class Camera:
    """Absorption per px of contrast agent, blur in px, photons per px, grain in px, and the curve to grey levels."""

    absorption: float
    blur: float
    photons: float
    grain: float
    curve: str

    @classmethod
    def random(cls, rng: Generator, mm: float) -> Camera:
        """One as it may be met."""
        return cls(
            rng.uniform(0.2, 0.35) * mm, rng.uniform(0.6, 1.2), rng.uniform(250, 800), rng.uniform(0, 0.6),
            str(rng.choice(["linear", "log", "gamma"])),
        )  # fmt: skip

    def picture(self, rng: Generator, tubes: Iterable[Tube]) -> NDArray[np.uint8]:
        """A frame of vessels, uint8."""
        ground = cv2.resize(_ground(rng), (SHAPE[1] * FINE, SHAPE[0] * FINE), interpolation=cv2.INTER_CUBIC)
        light = np.exp(-self.absorption * sum(tube.thickness() for tube in tubes)) * ground
        light = cv2.GaussianBlur(light, (0, 0), self.blur * FINE)
        light = cv2.resize(light, SHAPE[::-1], interpolation=cv2.INTER_AREA)
        seen = rng.poisson(light * self.photons) / self.photons
        if self.grain > 0.15:
            seen = cv2.GaussianBlur(seen, (0, 0), self.grain)
        curves = {"linear": 140 * seen, "log": 150 + 90 * np.log(np.maximum(seen, 1e-3)), "gamma": 140 * seen**0.7}
        return np.clip(np.rint(curves[self.curve]), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Scene:
    """A frame and what is true of its vessel: the line, its width in px, mm per px, %DS."""

    frame: NDArray[np.uint8]
    points: Array
    diameter: Array
    mm: float
    stenosis: float

    @property
    def clicks(self) -> list[Array]:
        """Where a person clicks."""
        return [self.points[int(share * len(self.points))] for share in ENDS]


def scene(seed: int, width: float, stenosis: float = 0, beside: str = "") -> Scene:
    """A curved, tapering vessel of a width in mm, and the main branch that a frame has, filled otherwise."""
    rng = np.random.default_rng([seed, int(100 * width), int(stenosis), len(beside)])
    mm = float((0.2, 0.25, 0.3)[seed % 3])
    s = np.linspace(0, LENGTH, 4000)
    bend = rng.uniform(0, 0.025) * np.sin(2 * np.pi * s / rng.uniform(0.8, 1.6) / LENGTH + rng.uniform(0, 2 * np.pi))
    angle = rng.uniform(0, np.pi) + np.cumsum(bend) * s[1]
    along = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    points = np.cumsum(along, axis=0) * s[1]
    points += (np.array(SHAPE) - 1) / 2 + (0, 20) - (points.min(axis=0) + points.max(axis=0)) / 2
    z = (s - LENGTH / 2 - rng.uniform(-8, 8)) / (rng.uniform(5, 12) / mm / 2)
    lesion = np.where(np.abs(z) < 1, 0.5 + 0.5 * np.cos(np.pi * z), 0) if stenosis else np.zeros_like(s)
    diameter = width / mm * (1.075 - 0.15 * s / LENGTH) * (1 - stenosis / 100 * lesion)
    aspect = np.exp(np.log(rng.uniform(0.6, 1.6)) * lesion)
    tubes = [Tube(points, diameter, aspect, rng.uniform(0.7, 1.3))]
    t = np.linspace(-10, SHAPE[0] + 10, 3000)
    ones = np.ones_like(t)
    tubes.append(Tube(np.stack([t, 12 + 6 * np.sin(t / 40)], axis=1), rng.uniform(2.5, 3.5) / mm * ones, ones))
    if beside == "parallel":
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        other = rng.uniform(4, 10)
        gap = diameter.max() / 2 + other / 2 + rng.uniform(3.5, 6) + 2 * np.sin(5 * s / LENGTH)
        tubes.append(Tube(points + across * gap[:, None], np.full_like(s, other), np.ones_like(s)))
    if beside == "crossing":
        i = int(rng.choice([rng.uniform(0.25, 0.4), rng.uniform(0.6, 0.75)]) * len(s))
        turned = np.arctan2(*along[i]) + rng.uniform(0.6, 2.5)
        t = np.linspace(-140, 140, 3000)
        line = points[i] + t[:, None] * np.array([np.sin(turned), np.cos(turned)])
        tubes.append(Tube(line, np.full_like(t, rng.uniform(3, 9)), ones))
    return Scene(Camera.random(rng, mm).picture(rng, tubes), points, diameter, mm, stenosis)


def _ground(rng: Generator) -> NDArray[np.float32]:
    """What is behind the vessels: structures of three sizes."""
    total = np.zeros(SHAPE)
    for size, share in ((40, 0.5), (15, 0.3), (6, 0.12)):
        margin = 4 * size
        noise = rng.standard_normal((SHAPE[0] + 2 * margin, SHAPE[1] + 2 * margin))
        noise = cv2.GaussianBlur(noise, (0, 0), size)[margin:-margin, margin:-margin]
        total += share * noise / noise.std()
    return np.exp(0.12 * total).astype(np.float32)


class Model:
    """The mask of the shipped model, once a frame."""

    def __init__(self) -> None:
        from vasomim_core.models.registry import load_model

        self.model = load_model("vasomim-fast", "cpu")

    def widths(self, frame: NDArray[np.uint8], points: Array) -> Array:
        """Two EDT less one at the skeleton, that is the largest EDT within 2 px; NaN beside the mask."""
        mask = np.asarray(self.model.predict(frame)) >= self.model.threshold
        edt = cv2.dilate(distance_transform_edt(mask), np.ones((5, 5)))
        here = edt[tuple(np.rint(points).astype(int).T)]
        return np.where(here > 0, 2 * here - 1, np.nan)


def half_widths(frame: NDArray[np.uint8], points: Array) -> Array:
    """Full width at half maximum across the true line: half-way from the darkest middle to the brightest ground."""
    x = np.arange(-20, 20.01, 0.25)
    grey = resampled(points).across(frame.astype(float), x)
    grey = cv2.blur(np.nan_to_num(grey, nan=float(np.nanmedian(grey))), (1, 5))
    middle = len(x) // 2
    out = np.full(len(grey), np.nan)
    for k, row in enumerate(grey):
        low = row[middle - 4 : middle + 5].min()
        width = 0.0
        for side in (row[middle::-1], row[middle:]):
            top = side[: 1 + int(np.argmax(side[4:60])) + 4]
            half = (low + top.max()) / 2
            above = np.flatnonzero(top >= half)
            i = int(above[0]) if len(above) else len(top) - 1
            step = (half - side[i - 1]) / max(side[i] - side[i - 1], 1e-9) if i else 0
            width += 0.25 * (i - 1 + np.clip(step, 0, 1)) if i else 0
        out[k] = width
    return out


@dataclass(frozen=True)
class Result:
    """Of one vessel by one way: mean error of D in mm and its spread, measured and true mean in mm, MLD and %DS."""

    bias: float
    spread: float
    mean: float
    true: float
    mld: float
    true_mld: float
    stenosis: float


def compared(scene: Scene, model: Model | None) -> dict[str, Result | None]:
    """Each way on one vessel."""
    inner = slice(int(ENDS[0] * len(scene.points)), int(ENDS[1] * len(scene.points)))
    line = resampled(scene.points[inner])
    true = scene.diameter[inner][cKDTree(scene.points[inner]).query(line.points)[1]]
    found: dict[str, Result | None] = {}
    try:
        measure = Measure.of(find_segment(VesselCost(scene.frame), scene.clicks))
        near, i = cKDTree(scene.points).query(measure.segment.centreline)
        follows = float((near > 2 + scene.diameter[i] / 4).mean()) < 0.05
        own = measure.diameter, scene.diameter[i], measure.mld_px, measure.ds_percent
        found["ours"] = _result(*own, scene) if follows else None
    except InputError:
        found["ours"] = None
    others = {WAYS[1]: model.widths(scene.frame, line.points)} if model else {}
    others[WAYS[2]] = half_widths(scene.frame, scene.points[inner])
    for way, width in others.items():
        if np.isnan(width).mean() > 0.2:
            found[way] = None
            continue
        width = cv2.blur(
            np.interp(line.distance, line.distance[~np.isnan(width)], width[~np.isnan(width)])[None], (9, 1)
        )[0]
        ends = [float(width[: len(width) // 10].mean()), float(width[-len(width) // 10 :].mean())]
        at = int(width[10:-10].argmin()) + 10
        reference = np.interp(at, (0, len(width)), ends)
        found[way] = _result(width, true, width[at], 100 * (1 - width[at] / reference), scene)
    return found


def _result(width: Array, true: Array, mld: float, stenosis: float, scene: Scene) -> Result:
    error = (width - true)[10:-10] * scene.mm
    return Result(
        float(error.mean()), float(error.std()), float(width.mean()) * scene.mm, float(true.mean()) * scene.mm,
        mld * scene.mm, float(true.min()) * scene.mm, stenosis,
    )  # fmt: skip


def line_of(name: str, scenes: list[Scene], model: Model | None, ways: tuple[str, ...]) -> dict[str, list[Result]]:
    """Print the row of a table, and give what is in it."""
    all_found = [compared(scene, model) for scene in scenes]
    told, kept = [], {}
    for way in ways:
        kept[way] = [one[way] for one in all_found if one.get(way) is not None]
        bias = np.array([one.bias for one in kept[way]])
        missing = len(scenes) - len(bias)
        words = f"{bias.mean():+.3f} ± {bias.std():.3f}" if len(bias) else "none"
        told.append(words + (f" ({missing} lost)" if missing else ""))
    print(f"| {name} | {len(scenes)} | " + " | ".join(told) + " |", flush=True)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6, help="vessels of each kind")
    parser.add_argument(
        "--first", type=int, default=0, help="first seed; what is constant was chosen on 0 to 4 and 20 to 29"
    )
    parser.add_argument("--no-model", action="store_true", help="leave 2·EDT − 1 out, and torch with it")
    parser.add_argument("--smallest", action="store_true", help="two vessels: shows that it runs, tells nothing")
    given = parser.parse_args()
    seeds = range(given.first, given.first + (1 if given.smallest else given.seeds))
    model = None if given.no_model or given.smallest else Model()
    ways = WAYS if model else (WAYS[0], WAYS[2])
    widths = (1.0,) if given.smallest else (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
    stenoses = (50,) if given.smallest else (0, 20, 40, 60, 80)
    print(f"Seeds {seeds[0]} to {seeds[-1]}; mm, mean ± SD over vessels of the mean error of D.\n")
    print("| vessel | n | " + " | ".join(ways) + " |\n|---|---|" + "---|" * len(ways))
    every: dict[str, list[Result]] = {way: [] for way in ways}
    for width in widths:
        for way, results in line_of(f"{width:g} mm", [scene(k, width) for k in seeds], model, ways).items():
            every[way] += results
    for beside in () if given.smallest else ("parallel", "crossing"):
        line_of(f"1 to 3 mm, {beside} vessel", [scene(k, (1, 1.5, 2, 3)[k % 4], 0, beside) for k in seeds], model, ways)
    if len(widths) > 1:
        slopes = [np.polyfit([r.true for r in every[way]], [r.mean for r in every[way]], 1)[0] for way in ways]
        print("| slope of D over the true D | | " + " | ".join(f"{slope:.3f}" for slope in slopes) + " |")
    print("\nStenoses of vessels of 2 to 4 mm, lesions of 5 to 12 mm whose lumen is elliptical (0.6 to 1.6).\n")
    print("| %DS | n | " + " | ".join(f"{way}: %DS, MLD (mm)" for way in ways) + " |\n|---|---|" + "---|" * len(ways))
    for stenosis in stenoses:
        scenes = [scene(k, (2, 2.5, 3, 3.5, 4)[k % 5], stenosis) for k in seeds]
        all_found = [compared(one, model) for one in scenes]
        told = []
        for way in ways:
            kept = [one[way] for one in all_found if one.get(way) is not None]
            off = np.array([[r.stenosis - stenosis, r.mld - r.true_mld] for r in kept]).reshape(-1, 2)
            (ds, mld), (ds_sd, mld_sd) = off.mean(axis=0), off.std(axis=0)
            told.append(f"{ds:+.1f} ± {ds_sd:.1f}, {mld:+.2f} ± {mld_sd:.2f}")
        print(f"| {stenosis} | {len(scenes)} | " + " | ".join(told) + " |", flush=True)
    repeat(seeds)


def repeat(seeds: range) -> None:
    """Clicks a little elsewhere: what a second observer changes."""
    mld, stenosis = [], []
    for k in list(seeds)[:5]:
        one, rng = scene(k, (2, 2.5, 3, 3.5, 4)[k % 5], 50), np.random.default_rng(k)
        cost, belief = VesselCost(one.frame), belief_of(one.frame)
        repeats = []
        for _ in range(min(8, 2 + len(seeds))):
            clicks = [click + rng.uniform(-3, 3, 2) for click in one.clicks]
            measure = Measure.of(find_segment(cost, clicks, belief))
            repeats.append((measure.mld_px, measure.ds_percent))
        spread = np.std(repeats, axis=0)
        mld.append(spread[0])
        stenosis.append(spread[1])
    print(f"\nClicks moved by up to 3 px in each direction, stenoses of 50 %: SD of the MLD {np.mean(mld):.2f} px "
          f"(largest {max(mld):.2f}), of %DS {np.mean(stenosis):.1f} (largest {max(stenosis):.1f}).")  # fmt: skip


if __name__ == "__main__":
    main()

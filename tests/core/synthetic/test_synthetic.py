from __future__ import annotations

import inspect
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt
from skimage.measure import label
from skimage.morphology import skeletonize

from vasomim_core.errors import ConfigError
from vasomim_core.synthetic import Look, SyntheticAngiogram, synthesize, synthesize_cine, write_samples
from vasomim_core.synthetic import scene as scene_module
from vasomim_core.synthetic.angiograms import Scenery
from vasomim_core.synthetic.projection import CArm, project_tube, stamp
from vasomim_core.synthetic.tree import grow

SQUARE = np.ones((3, 3), dtype=bool)


@pytest.fixture(scope="module")
def samples() -> list[SyntheticAngiogram]:
    return [synthesize((7, i)) for i in range(16)]


def around(mask: np.ndarray) -> np.ndarray:
    """The ring 3 to 8 px outside."""
    away = distance_transform_edt(~mask)
    return (away > 3) & (away < 8)


def test_same_seed_same_frame():
    a, b, c = synthesize(3, size=128), synthesize(3, size=128), synthesize(4, size=128)
    for part in ("frame", "mask", "centreline"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    assert (a.frame != c.frame).any()


@pytest.mark.parametrize("size", [512, 64, (97, 160), (224, 200)])
def test_sizes_and_types(size: int | tuple[int, int]):
    sample = synthesize(5, size=size)
    shape = (size, size) if isinstance(size, int) else size
    assert sample.frame.shape == sample.mask.shape == sample.centreline.shape == shape
    assert (sample.frame.dtype, sample.mask.dtype, sample.centreline.dtype) == (np.uint8, bool, bool)
    assert sample.frame.std() > 3
    assert sample.mask.any() or min(shape) < 96


def test_grey_levels_and_area_are_those_of_angiograms(samples: list[SyntheticAngiogram]):
    assert 85 < np.mean([s.frame.mean() for s in samples]) < 150
    assert 0.015 < np.mean([s.mask.mean() for s in samples]) < 0.10
    assert {s.side for s in samples} == {"left", "right"}


def test_centreline_is_that_of_the_mask(samples: list[SyntheticAngiogram]):
    for s in samples:
        assert not (s.centreline & ~s.mask).any()
        np.testing.assert_array_equal(s.centreline, skeletonize(s.centreline))
        skeleton = skeletonize(s.mask)
        near = [
            distance_transform_edt(~line)[other] <= 3
            for line, other in ((s.centreline, skeleton), (skeleton, s.centreline))
        ]
        assert near[0].mean() > 0.9
        assert near[1].mean() > 0.8  # where vessels cover each other the mask has one skeleton for two


def test_vessels_are_darker_than_their_surroundings(samples: list[SyntheticAngiogram]):
    ratios = []
    for s in samples:
        lumen = binary_erosion(s.mask, SQUARE)
        ring = around(s.mask)
        ratios.append(np.median(s.frame[lumen]) / np.median(s.frame[ring]))
    assert np.mean(np.array(ratios) < 1) > 0.9
    assert 0.55 < np.median(ratios) < 0.92


def test_bright_vessels_is_the_negative():
    dark, bright = synthesize(8, size=128), synthesize(8, size=128, look=Look(bright_vessels=True))
    np.testing.assert_array_equal(bright.frame, 255 - dark.frame)
    np.testing.assert_array_equal(bright.mask, dark.mask)


def test_a_lower_dose_is_noisier_and_changes_nothing_else():
    def grain(look: Look) -> tuple[float, np.ndarray]:
        sample = synthesize(2, look=look)
        frame = sample.frame.astype(np.float32)
        return float(np.median(np.abs(frame - cv2.GaussianBlur(frame, (0, 0), 1)))), sample.mask

    (low, mask), (high, same) = grain(Look(dose=0.2)), grain(Look(dose=5))
    assert low > 2 * high
    np.testing.assert_array_equal(mask, same)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["left", "right"]))
def test_radii_obey_murray_and_taper(seed: int, side: str):
    tree = grow(np.random.default_rng(seed), side)
    first = tree.vessels[0]
    assert 0.9 < first.radii[0] < 2.6
    for vessel in tree.vessels:
        assert (np.diff(vessel.radii) <= 0).all()
        assert (vessel.radii > 0).all()
        assert np.isfinite(vessel.points).all()
        if vessel.parent >= 0:
            parent = tree.vessels[vessel.parent]
            before, after = parent.radii[vessel.junction], parent.radii[vessel.junction + 1]
            np.testing.assert_allclose(before**3, after**3 + vessel.radii[0] ** 3, rtol=0.02)
            np.testing.assert_allclose(vessel.points[0], parent.points[vessel.junction], atol=1e-9)


def test_stenosis_narrows_a_trunk():
    free, sick = (grow(np.random.default_rng(1), "right", s).vessels[0].radii for s in (0.0, 0.7))
    assert (np.diff(free) <= 0).all()
    assert (np.diff(sick) > 0).any()


@settings(max_examples=40, deadline=None)
@given(st.floats(0.6, 9), st.floats(0, np.pi), st.floats(-0.5, 0.5))
def test_a_straight_tube_absorbs_as_a_cylinder(radius: float, turn: float, shift: float):
    c_arm = CArm((0.0, 0.0), (65, 65), 1.0)
    along = np.array([np.cos(turn), 0.0, np.sin(turn)])
    points = np.linspace(-60, 60, 241)[:, None] * along + np.array([shift, 0, shift])
    thickness, inside = np.zeros((65, 65), np.float32), np.zeros((65, 65), bool)
    stamp(project_tube(c_arm, points, np.full(241, radius), np.ones(241), 0.0), thickness, inside)
    y, x = np.mgrid[:65, :65] - 32.0
    distance = np.abs((x - shift) * np.sin(turn) + (y + shift) * np.cos(turn))
    middle = np.hypot(x, y) < 28
    sure = middle & (np.abs(distance - radius) > 0.1)
    np.testing.assert_array_equal(inside[sure], (distance < radius)[sure])
    area = thickness[middle].sum() / (2 * np.sqrt(28**2 - shift**2))
    assert area == pytest.approx(np.pi * radius**2, rel=0.06)
    deep = middle & (distance < radius - 1)
    np.testing.assert_allclose(thickness[deep], 2 * np.sqrt(radius**2 - distance[deep] ** 2), atol=0.3)


def test_width_of_the_mask_is_that_of_the_lumen():
    c_arm = CArm((0.0, 0.0), (128, 256), 0.5)
    points = np.stack([np.linspace(-80, 80, 400), np.zeros(400), np.zeros(400)], axis=1)
    radii = np.linspace(5, 1, 400)
    inside = np.zeros((128, 256), bool)
    line = project_tube(c_arm, points, radii, np.ones(400), 0.0)
    stamp(line, np.zeros((128, 256), np.float32), inside)
    widths = inside.sum(axis=0)
    expected = 2 * np.interp(np.arange(256), line.xy[:, 0], line.radii)
    assert np.abs(widths - expected)[5:-5].max() <= 1.1


def test_the_catheter_is_seen_but_not_in_the_mask(monkeypatch: pytest.MonkeyPatch):
    calm = Look(background=0, clutter=0, dose=50)
    with_catheter = synthesize(11, look=calm)
    monkeypatch.setattr(scene_module, "random_catheter", lambda *_: (np.full((9, 3), 1e4), 1e-3))
    without = synthesize(11, look=calm)
    np.testing.assert_array_equal(with_catheter.mask, without.mask)
    change = without.frame.astype(int) - with_catheter.frame
    catheter = (change > 10) & ~binary_dilation(with_catheter.mask, SQUARE, iterations=4)
    assert catheter.sum() > 200


def test_cine_fills_and_moves_without_jumps():
    cine = synthesize_cine(1, frames=24, size=192, side="right", stenosis=0.0)
    assert cine.frames.shape == cine.masks.shape == cine.centrelines.shape == (24, 192, 192)
    area = cine.masks.reshape(24, -1).sum(axis=1)
    assert area[0] == 0
    assert area[-1] > 5 * max(area[2], 1)
    assert (area[1:] >= 0.8 * area[:-1]).all()  # filling, up to what motion hides
    assert not (cine.centrelines & ~cine.masks).any()
    full = cine.masks[-6:]
    for a, b in pairwise(full):
        assert (a != b).any()
        assert (distance_transform_edt(~a)[b] < 12).mean() > 0.97  # systole moves the wall some 5 mm a frame
    still = np.abs(np.diff(cine.frames.astype(int), axis=0)).mean(axis=(1, 2))
    assert still.max() < 15
    filled = cine.masks[-1] & ~cine.masks[0]
    assert cine.frames[-1][filled].mean() < 0.95 * cine.frames[0][filled].mean()


def test_a_run_takes_what_a_frame_takes_and_means_the_same():
    def keywords(function):
        known = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in known if p.name not in ("self", "seed")}

    assert keywords(synthesize) == keywords(scene_module.Scene.__init__)
    assert keywords(synthesize).keys() == Scenery.__annotations__.keys()
    still, cine = (draw(1, size=96, side="right", angles=(10, 5)) for draw in (synthesize, synthesize_cine))
    assert (still.side, still.angles, still.spacing) == (cine.side, cine.angles, cine.spacing)
    assert (cine.side, cine.angles, cine.frames.shape[1:]) == ("right", (10, 5), (96, 96))


def test_filling_starts_at_one_place():
    cine = synthesize_cine(1, frames=24, size=192, side="left", stenosis=0.0)
    early = next(m for m in cine.masks if m.sum() > 60)
    assert label(early, connectivity=2).max() == 1


def test_write_samples(tmp_path):
    write_samples(tmp_path / "a", 3, seed=5, size=64, centrelines=True)
    write_samples(tmp_path / "b", 2, seed=5, size=64)
    for file in sorted((tmp_path / "b").rglob("*.png")):
        assert file.read_bytes() == (tmp_path / "a" / file.relative_to(tmp_path / "b")).read_bytes()
    images, masks = ({f.name for f in (tmp_path / "a" / p).iterdir()} for p in ("images", "masks"))
    assert images == masks
    assert len(images) == 3
    name = min(images)
    truth = cv2.imread(str(tmp_path / "a" / "masks" / name), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(truth, synthesize((5, 0), size=64).mask * np.uint8(255))
    assert len(list((tmp_path / "a" / "centrelines").iterdir())) == 3
    assert not (tmp_path / "b" / "centrelines").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 8}, "8×8"),
        ({"stenosis": 1.5}, "stenosis"),
        ({"side": "middle"}, "side"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments(arguments: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        synthesize(**({"seed": 0} | arguments))


def test_bad_looks_and_counts(tmp_path):
    with pytest.raises(ConfigError, match="dose"):
        Look(dose=0)
    with pytest.raises(ConfigError, match="contrast"):
        Look(contrast=-1)
    with pytest.raises(ConfigError, match="count"):
        write_samples(tmp_path, 0)
    with pytest.raises(ConfigError, match="cine"):
        synthesize_cine(0, frames=0)


def test_a_run_in_which_nothing_else_happens_is_the_old_one():
    """Numbers of a run drawn before tables moved; grey levels to a rounding, which machines may do otherwise."""
    cine = synthesize_cine(1, frames=4, size=96)
    np.testing.assert_array_equal(cine.masks.sum(axis=(1, 2)), [0, 0, 0, 23])
    np.testing.assert_allclose(cine.frames.mean(axis=(1, 2)), [151.8869, 151.7361, 151.5208, 151.5065], atol=0.01)


def test_contrast_is_washed_out_from_the_ostium_on():
    told = {"frames": 36, "size": 128, "side": "right", "stenosis": 0.0}
    stays, goes = synthesize_cine(1, **told), synthesize_cine(1, injection_ms=800, **told)
    np.testing.assert_array_equal(stays.frames[:12], goes.frames[:12])  # up to the injection's end, 800 ms
    area = goes.masks.sum(axis=(1, 2))
    assert area.max() > 0.8 * stays.masks.sum(axis=(1, 2)).max()
    assert area[-1] < 0.5 * area.max()
    # While it goes, what is left is farther from the catheter than what is gone.
    half = next(i for i in range(area.argmax(), 36) if area[i] < 0.6 * area.max())
    away = distance_transform_edt(~goes.catheters[half])
    assert away[goes.masks[half]].mean() > away[stays.masks[half] & ~goes.masks[half]].mean()


def test_a_moved_table_moves_all_but_the_collimator():
    told = {"frames": 12, "size": 128, "injection_ms": None}
    still, moved = (synthesize_cine(5, table=mm, **told) for mm in (0.0, 12.0))
    np.testing.assert_array_equal(still.masks[0], moved.masks[0])
    way = 12 / moved.spacing
    vessel = [np.argwhere(cine.masks[-1]).mean(axis=0) for cine in (still, moved)]
    assert 0.5 * way < np.linalg.norm(vessel[1] - vessel[0]) < 1.5 * way  # parts of the tree leave the frame
    # It is one shift, which frame and truth share.
    best, gain = (0, 0), -1.0
    for down in range(-40, 41):
        for right in range(-40, 41):
            if abs(np.hypot(down, right) - way) < 1.5:
                shifted = np.roll(still.masks[-1], (down, right), (0, 1))
                if (score := (shifted & moved.masks[-1]).sum()) > gain:
                    best, gain = (down, right), score
    shifted = np.roll(still.masks[-1], best, (0, 1))
    inner = np.s_[40:-40, 40:-40]
    assert (shifted == moved.masks[-1])[inner].mean() > 0.995
    lumen = binary_erosion(moved.masks[-1], SQUARE)
    assert moved.frames[-1][lumen].mean() < moved.frames[-1][around(moved.masks[-1])].mean()
    assert not (moved.catheters & moved.masks).any()


def test_runs_that_cannot_be():
    with pytest.raises(ConfigError, match="injection"):
        synthesize_cine(0, injection_ms=0)
    with pytest.raises(ConfigError, match="table"):
        synthesize_cine(0, table=-1)

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import skimage.filters
import skimage.measure
from PIL import Image, ImageDraw

from vasomim_core.anatomy import extract_anatomy
from vasomim_core.errors import ConfigError, InputError

MODES = pytest.mark.parametrize("mode", ["as-released", "robust"])


def angiogram(side: int = 512) -> np.ndarray:
    """Two crossing vessels on uneven ground, uint8."""
    image = np.tile(np.linspace(120, 200, side), (side, 1))
    vessels = np.zeros((side, side), np.uint8)
    unit = side / 512
    for ends in (((100, 120), (400, 380)), ((120, 400), (380, 110))):
        start, stop = ((round(x * unit), round(y * unit)) for x, y in ends)
        cv2.line(vessels, start, stop, 1, round(9 * unit))
    image -= 50 * cv2.GaussianBlur(vessels.astype(float), (0, 0), 1.5 * unit)
    return np.clip(image + np.random.default_rng(0).normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def released(image: np.ndarray) -> np.ndarray:
    """The released extraction, written with scikit-image."""
    response = skimage.filters.sato(image, sigmas=(1, 2, 3, 4), mode="reflect").astype(np.uint8)
    response = np.pad(response[20:-20, 20:-20], 20)
    labels = skimage.measure.label(response >= np.percentile(response, 92), connectivity=1)
    return labels == labels.ravel()[response.argmax()]


def labelled(arcade, every: int):
    coco = json.loads((arcade / "val" / "annotations" / "val.json").read_text())
    for frame in coco["images"][::every]:
        mask = Image.new("L", (frame["width"], frame["height"]))
        for a in coco["annotations"]:
            if a["image_id"] == frame["id"]:
                for polygon in a["segmentation"]:
                    ImageDraw.Draw(mask).polygon(polygon, fill=1)
        image = Image.open(arcade / "val" / "images" / frame["file_name"]).convert("L")
        yield np.array(image), np.array(mask).astype(bool)


def test_as_released_is_the_released_extraction(arcade):
    for image, _ in labelled(arcade, 60):
        # Float rounding may move a pixel over an integer step of the 8-bit response.
        assert dice(extract_anatomy(image, "as-released"), released(image)) > 0.999


def test_robust_beats_as_released_on_real_frames(arcade):
    pairs = list(labelled(arcade, 10))
    by_mode = {
        mode: np.mean([dice(extract_anatomy(image, mode), truth) for image, truth in pairs])
        for mode in ("as-released", "robust")
    }
    assert by_mode["robust"] > 0.56
    assert by_mode["robust"] > by_mode["as-released"] + 0.05


def test_robust_keeps_both_vessels_and_little_else():
    mask = extract_anatomy(angiogram())
    assert mask[160, 146]
    assert mask[338, 352]
    assert mask[150, 345]
    assert mask[360, 155]
    assert mask.mean() < 0.06


def test_robust_leaves_the_border_and_a_collimators_edge_out():
    image = angiogram()
    image[:, :60] = 5
    image[:30] = 5
    image[:, 460:] = 5
    mask = extract_anatomy(image)
    assert not mask[:, :90].any()
    assert not mask[:40].any()
    assert not mask[:, 430:].any()
    assert mask[160, 146]
    assert mask[360, 155]


@pytest.mark.parametrize("gain", [0.01, 3.0, 257.0])
def test_robust_does_not_depend_on_the_units_of_grey_levels(gain):
    image = angiogram()
    assert dice(extract_anatomy(image), extract_anatomy(gain * image.astype(np.float64) - 40)) > 0.999
    assert dice(extract_anatomy(image), extract_anatomy(image.astype(np.uint16) * 257)) > 0.999


def test_as_released_takes_other_bit_depths_stretched_to_eight():
    image = cv2.normalize(angiogram(), None, 0, 255, cv2.NORM_MINMAX)
    expected = extract_anatomy(image, "as-released")
    for other in (image.astype(np.float64), image.astype(np.uint16) * 257, image / 255 - 3):
        assert dice(extract_anatomy(other, "as-released"), expected) > 0.99


def test_robust_finds_the_same_at_other_frame_sizes():
    small, large = extract_anatomy(angiogram(512)), extract_anatomy(angiogram(1024))
    assert dice(np.kron(small, np.ones((2, 2), bool)), large) > 0.85


@MODES
def test_bright_ridges(mode):
    image = angiogram()
    np.testing.assert_array_equal(extract_anatomy(255 - image, mode, "bright"), extract_anatomy(image, mode))


@MODES
def test_a_flat_frame_is_empty(mode):
    for value in (0, 77, 60000, 0.3):
        for shape in ((31, 17), (512, 512), (300, 500)):
            assert not extract_anatomy(np.full(shape, value), mode).any()


@pytest.mark.parametrize("shape", [(31, 17), (17, 31), (1, 1), (1, 700), (3, 5), (641, 479)])
@MODES
def test_any_size(mode, shape):
    mask = extract_anatomy(np.random.default_rng(0).integers(0, 256, shape, np.uint8), mode)
    assert mask.shape == shape
    assert mask.dtype == bool


def test_a_4096_frame():
    image = cv2.resize(angiogram(), (4096, 4096))
    assert (
        dice(cv2.resize(extract_anatomy(angiogram()).astype(np.uint8), (4096, 4096)) > 0, extract_anatomy(image)) > 0.9
    )


@MODES
def test_a_stack_is_its_frames(mode):
    stack = np.stack([angiogram(128), angiogram(128)[::-1]])[:, None]
    masks = extract_anatomy(stack, mode)
    assert masks.shape == stack.shape
    np.testing.assert_array_equal(masks[1, 0], extract_anatomy(stack[1, 0], mode))


@MODES
def test_what_is_no_image_is_said_in_a_sentence(mode):
    for image in (np.full((9, 9), np.nan), np.zeros((0, 9)), np.zeros(9)):
        with pytest.raises(InputError):
            extract_anatomy(image, mode)


def test_unknown_mode_or_ridges():
    with pytest.raises(ConfigError):
        extract_anatomy(angiogram(64), "best")
    with pytest.raises(ConfigError):
        extract_anatomy(angiogram(64), "robust", "grey")

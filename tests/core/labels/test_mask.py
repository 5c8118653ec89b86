from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.core.labels.made import mask, save
from vasomim_core.errors import InputError, LabelError
from vasomim_core.labels.mask import as_mask, checked_frame, pixel_sha256
from vasomim_core.labels.mask_file import MaskFile


def test_any_two_values_are_a_mask() -> None:
    for value in (True, 1, 255, 7.5):
        np.testing.assert_array_equal(as_mask(mask(0) * value), mask(0))
    assert as_mask(np.ones((2, 2))).all()


def test_a_probability_is_no_mask_even_where_it_is_the_same_everywhere() -> None:
    for probability in (np.full((4, 4), 0.7), np.where(mask(0), 0.5, 0).astype(np.float32)):
        with pytest.raises(LabelError, match="fractions"):
            as_mask(probability)
    with pytest.raises(LabelError, match="more than one value"):
        as_mask(np.where(mask(0), 128, 127))


def test_the_pages_of_a_file_are_its_masks(tmp_path: Path) -> None:
    stack = np.stack([mask(seed) for seed in range(3)])
    tifffile.imwrite(tmp_path / "run.tif", stack.astype(np.uint8) * 255, photometric="minisblack")
    pages = MaskFile(tmp_path / "run.tif")
    assert len(pages) == 3
    np.testing.assert_array_equal([pages[2], pages[0]], stack[[2, 0]])
    assert list(map(bool, [page.any() for page in pages])) == [True] * 3
    assert pages[0].dtype == bool


def test_only_the_page_that_is_asked_for_has_to_be_a_mask(tmp_path: Path) -> None:
    stack = np.stack([mask(0) * np.uint8(255), np.arange(192, dtype=np.uint8).reshape(12, 16)])
    tifffile.imwrite(tmp_path / "run.tif", stack, photometric="minisblack")
    pages = MaskFile(tmp_path / "run.tif")
    np.testing.assert_array_equal(pages[0], mask(0))
    with pytest.raises(LabelError, match=r"run\.tif has more than one value"):
        pages[1]


def test_alpha_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    save(tmp_path / "a.png", mask(0))
    with pytest.raises(InputError, match=r"a\.png has no alpha channel"):
        MaskFile(tmp_path / "a.png", alpha=True)


@pytest.mark.parametrize("vessel", [1, 2])
@pytest.mark.parametrize("value", [True, 255, -3, 1.0, 1.5])
def test_a_mask_of_a_pixel_or_two_is_one(vessel: int, value: float) -> None:
    drawn = np.zeros((2, 3), type(value))
    drawn.flat[:vessel] = value
    assert as_mask(drawn, (2, 3)).ravel().tolist() == [True] * vessel + [False] * (6 - vessel)
    assert as_mask(drawn * 0).dtype == bool


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((2, 3, 1)), r"shape \(2, 3, 1\)"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        (np.zeros((2, 3), complex), "complex"),
        ([["a"]], "numbers"),
        (np.zeros((2, 4)), "2×4 and its frame 2×3"),
        ([[np.nan, 0, 0]] * 2, "not finite"),
        ([[np.inf, 0, 0]] * 2, "not finite"),
        ([[0.999, 0, 0]] * 2, "fractions"),
        ([[1, 2, 0]] * 2, "more than one value"),
        ([[-1, 1, 0]] * 2, "more than one value"),
    ],
)
def test_what_is_no_mask_of_a_frame_is_told(bad: Any, says: str) -> None:
    with pytest.raises(LabelError, match=f"^Yours .*{says}"):
        as_mask(bad, (2, 3), where="Yours")


def test_pixels_are_known_by_size_type_and_little_endian_bytes() -> None:
    image = np.arange(6).reshape(2, 3)
    assert pixel_sha256(image.astype(np.uint8)) == sha256(b"2x3 uint8\n\0\1\2\3\4\5").hexdigest()
    sixteen = sha256(b"3x2 uint16\n\0\0\3\0\1\0\4\0\2\0\5\0").hexdigest()
    assert pixel_sha256(image.T.astype("<u2")) == pixel_sha256(image.T.astype(">u2")) == sixteen
    assert pixel_sha256(image > 2) == sha256(b"2x3 bool\n\0\0\0\1\1\1").hexdigest()


@pytest.mark.parametrize("bad", [np.zeros((2, 3, 3), np.uint8), np.zeros((2, 0), np.uint8), np.zeros((2, 3)), [[1]]])
def test_what_is_no_frame_of_a_label_set_is_told(bad: Any) -> None:
    with pytest.raises(LabelError, match=r"^The frame "):
        checked_frame(bad)
    assert checked_frame(np.ones((1, 1), np.uint16)).shape == (1, 1)

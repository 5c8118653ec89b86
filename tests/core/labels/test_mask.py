from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.core.labels.made import mask, save
from vasomim_core.errors import InputError, LabelError
from vasomim_core.labels.mask import MaskFile, as_mask


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

"""Layers are saved wholly, as what they are, or a sentence says why not."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from vasomim_core.errors import InputError, LabelError

pytestmark = pytest.mark.once  # what is tested here knows no Qt

WRITER = "napari-vasomim"


def save(model, path):
    return model.layers.save(str(path), plugin=WRITER)


def test_a_still_mask_is_a_png_of_0_and_255(model, still_truth, tmp_path):
    model.add_labels(still_truth.astype(np.uint8))
    assert save(model, tmp_path / "mask.png") == [str(tmp_path / "mask.png")]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), still_truth * np.uint8(255))


def test_the_mask_of_a_run_is_a_tiff_with_a_page_for_each_frame(model, cine_truth, tmp_path):
    model.add_labels(cine_truth.astype(np.uint8))
    save(model, tmp_path / "mask.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "mask.tif"), cine_truth * np.uint8(255))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_images_keep_their_values(model, cine, tmp_path, dtype):
    model.add_image(cine.astype(dtype) * 3)
    save(model, tmp_path / "run.tif")
    written = tifffile.imread(tmp_path / "run.tif")
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, cine.astype(dtype) * 3)


def test_a_colour_image_stays_in_colour(model, tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (20, 30, 4), np.uint8)
    model.add_image(colour, rgb=True)
    save(model, tmp_path / "colour.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "colour.png")), colour[..., :3])


def test_different_labels_are_no_vessel_mask(model, tmp_path):
    model.add_labels(np.arange(9, dtype=np.uint8).reshape(3, 3))
    with pytest.raises(LabelError, match="8 different labels"):
        save(model, tmp_path / "mask.png")
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("data", "name", "sentence"),
    [
        (np.zeros((4, 8, 8), np.uint8), "run.png", "has 4 frames"),
        (np.zeros((8, 8), np.float32), "response.png", "no PNG can"),
        (np.zeros((2, 4, 8, 8), np.uint8), "volume.tif", "4 axes"),
    ],
)
def test_what_a_file_cannot_hold_is_a_sentence(model, tmp_path, data, name, sentence):
    model.add_image(data)
    with pytest.raises(InputError, match=sentence):
        save(model, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_failed_write_leaves_the_old_file(model, still_truth, tmp_path, monkeypatch):
    (tmp_path / "mask.tif").write_bytes(b"old")
    model.add_labels(still_truth.astype(np.uint8))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    with pytest.raises(InputError, match="No space left"):
        save(model, tmp_path / "mask.tif")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["mask.tif"]
    assert (tmp_path / "mask.tif").read_bytes() == b"old"

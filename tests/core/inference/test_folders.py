"""Masks of a folder: of the frames as the engine sees them, by the threshold that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from vasomim_core.errors import CheckpointError, ConfigError
from vasomim_core.files import write_png
from vasomim_core.inference.folders import segment_folder
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.prediction import Model
from vasomim_core.reading import read_angiogram


class LeftOrDark(nn.Module):
    """Dark pixels are vessels, and the left half of what it sees is a little more so."""

    def __init__(self):
        super().__init__()
        self.sizes: list[tuple[int, int]] = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape[-2:]))
        return -2 * x[:, :1] + (torch.arange(x.shape[-1]) < x.shape[-1] // 2)


FRAME = np.random.default_rng(0).integers(0, 256, (64, 96), np.uint8)


@pytest.fixture
def model():
    card = Card("segmentation model", "unext", preprocessing=Preprocessing(threshold=0.6))
    return Model("m", LeftOrDark(), card, torch.device("cpu"))


@pytest.fixture
def frames(tmp_path):
    write_png(tmp_path / "frames" / "still.png", FRAME)
    tifffile.imwrite(tmp_path / "frames" / "run.tif", np.stack([FRAME, FRAME[::-1]]), photometric="minisblack")
    return tmp_path / "frames"


def written(path):
    pages = read_angiogram(path).frames[:]
    assert set(np.unique(pages)) <= {0, 255}
    return pages > 0


@pytest.mark.parametrize("threshold", [None, 0.0, 0.4, 1.0])
def test_masks_are_those_of_the_model_at_its_threshold_or_another(frames, model, tmp_path, threshold):
    done = segment_folder(frames, tmp_path / "masks", model, threshold=threshold)
    assert [path.name for path in done.written] == ["run.tif", "still.png"]
    assert (done.frames, done.failed, done.notes, done.model, done.device) == (3, (), (), "m", "cpu")
    expected = model.predict(FRAME) >= (0.6 if threshold is None else threshold)
    np.testing.assert_array_equal(written(done.written[1]), expected[None])
    np.testing.assert_array_equal(
        written(done.written[0])[1], model.predict(FRAME[::-1]) >= (0.6 if threshold is None else threshold)
    )
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {"run.tif", "still.png"}


@pytest.mark.parametrize("options", [{"mirrored": True}, {"tile": 32}, {"inverted": True}])
def test_what_is_asked_for_reaches_the_model(frames, model, tmp_path, options):
    done = segment_folder([frames / "still.png"], tmp_path / "masks", model, probability=True, **options)
    grey = 255 - FRAME if options.pop("inverted", False) else FRAME
    probability = tifffile.imread(tmp_path / "masks" / "still_probability.tif")
    np.testing.assert_array_equal(probability, model.predict(grey, **options))
    assert (probability != model.predict(FRAME)).any()
    np.testing.assert_array_equal(written(done.written[0])[0], probability >= np.float32(0.6))


def test_frames_with_little_vessel_are_counted(model, tmp_path):
    for dark in (8, 7):  # of 800 pixels: 1 % is enough
        frame = np.full((20, 40), 255, np.uint8)
        frame[0, :dark] = 0
        write_png(tmp_path / "frames" / f"{dark}.png", frame)
    done = segment_folder(tmp_path / "frames", tmp_path / "masks", model, threshold=0.9)
    assert (done.frames, done.with_little_vessel) == (2, 1)
    assert written(done.written[1]).sum() == 8


def test_settings_that_cannot_be_are_refused_before_anything_is_written(frames, model, tmp_path):
    for wrong in ({"threshold": -0.1}, {"threshold": 1.1}, {"tile": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            segment_folder(frames, tmp_path / "masks", model, **wrong)
    with pytest.raises(CheckpointError, match="finetune it"):
        segment_folder(frames, tmp_path / "masks", "vasomim-encoder")
    with pytest.raises(ConfigError, match="choose auto"):
        segment_folder(frames, tmp_path / "masks", "vasomim-demo", device="abacus")
    assert not (tmp_path / "masks").exists() or not list((tmp_path / "masks").iterdir())
    segment_folder(frames / "still.png", tmp_path / "masks", model, tile=1)
    assert model.network.sizes[-1] == (32, 32)

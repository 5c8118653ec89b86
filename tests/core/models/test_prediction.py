"""Prediction at the frame's own size, whatever the network takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vasomim_core.errors import CheckpointError, InputError
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.prediction import probability, uncertainty
from vasomim_core.models.registry import Model


class Darkness(nn.Module):
    """A "network" whose probability is exact: dark pixels are vessels."""

    def __init__(self):
        super().__init__()
        self.sizes: list[tuple[int, int]] = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape[-2:]))
        return -20 * x[:, :1] - 20


def frame(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.where(np.abs(y - x * height / width) < height / 8, 20, 220).astype(np.uint8)


@pytest.mark.parametrize("shape", [(64, 64), (31, 17), (100, 37), (200, 333)])
@pytest.mark.parametrize("size", [None, 64, 128])
@pytest.mark.parametrize("mirrored", [False, True])
def test_probability_has_the_frames_size_and_place(shape, size, mirrored):
    network = Darkness()
    image = frame(*shape)
    p = probability(network, Preprocessing(frame_size=size), image, mirrored=mirrored)
    assert p.shape == shape
    assert p.dtype == np.float32
    assert 0 <= p.min() <= p.max() <= 1
    assert all(side % 32 == 0 for sides in network.sizes for side in sides)
    if size is None:
        np.testing.assert_array_equal(p > 0.5, image < 100)
    else:
        assert ((p > 0.5) == (image < 100)).mean() > 0.93


def test_tiles_give_what_the_whole_frame_gives():
    network = UNeXtLike()
    image = frame(200, 300)
    whole = probability(network, Preprocessing(), image)
    tiled = probability(network, Preprocessing(), image, tile=96)
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


def test_a_model_trained_on_crops_sees_tiles_of_their_size():
    network = Darkness()
    probability(network, Preprocessing(tile=64), frame(128, 128))
    assert set(network.sizes) == {(64, 64)}


class UNeXtLike(nn.Module):
    """Pixel-wise, so that tiles cannot differ by context."""

    def forward(self, x):
        return x.mean(1, keepdim=True)


def test_mirroring_averages_away_a_networks_sidedness():
    class Left(nn.Module):
        def forward(self, x):
            ramp = torch.linspace(-3, 3, x.shape[-1]).expand(x.shape[-2:])
            return ramp[None, None].clone()

    p = probability(Left(), Preprocessing(), frame(64, 64), mirrored=True)
    np.testing.assert_allclose(p, p[:, ::-1], atol=1e-6)


def test_a_pretrained_encoder_does_not_segment():
    card = Card("autoencoder", "mae")
    with pytest.raises(CheckpointError, match="finetune it"):
        Model("m", nn.Identity(), card, torch.device("cpu")).predict(frame(64, 64))


def darkness() -> Model:
    card = Card("segmentation model", "unext", preprocessing=Preprocessing(frame_size=64, mirrored=True))
    return Model("m", Darkness(), card, torch.device("cpu"))


def test_a_model_predicts_as_its_card_says():
    image = frame(96, 80)
    expected = probability(Darkness(), Preprocessing(frame_size=64), image, mirrored=True)
    np.testing.assert_array_equal(darkness().predict(image), expected)
    model = darkness()
    model.predict(image, tile=32)
    assert set(model.network.sizes) == {(32, 32)}


@pytest.mark.parametrize("wrong", [frame(64, 64) / 255, frame(64, 64)[None], frame(64, 64)[:0], "frame.png"])
def test_what_is_no_frame_is_refused(wrong):
    with pytest.raises(InputError, match=r"frame is .*; give one plane of uint8"):
        darkness().predict(wrong)


def test_uncertainty_is_largest_at_one_half():
    p = np.array([[0, 0.25, 0.5, 0.75, 1]], np.float32)
    u = uncertainty(p)
    assert u.argmax() == 2
    assert u[0, 2] == pytest.approx(1)
    assert u[0, [0, 4]] == pytest.approx([0, 0], abs=1e-4)
    assert u[0, 1] == pytest.approx(u[0, 3])


def test_uncertainty_is_entropy_in_bits():
    p = np.array([0.25, 0.5, 0.9], np.float32)
    expected = [0.25 * 2 + 0.75 * np.log2(4 / 3), 1, 0.1 * np.log2(10) + 0.9 * np.log2(10 / 9)]
    assert uncertainty(p) == pytest.approx(expected)
    assert uncertainty(p).dtype == np.float32


@pytest.mark.parametrize(
    ("size", "stride", "shape", "fed"),
    [
        (None, 32, (64, 96), (64, 96)),
        (None, 32, (65, 1), (96, 32)),
        (None, 16, (65, 1), (80, 16)),
        (64, 32, (128, 100), (64, 64)),  # 64 × 50
        (64, 32, (100, 128), (64, 64)),
        (64, 16, (128, 50), (64, 32)),  # 64 × 25
        (64, 16, (1, 200), (16, 64)),  # no side vanishes
        (128, 16, (32, 16), (128, 64)),
    ],
)
def test_the_longer_side_is_scaled_and_both_are_padded_to_the_stride(size, stride, shape, fed):
    network = Darkness()
    assert probability(network, Preprocessing(frame_size=size, stride=stride), frame(*shape)).shape == shape
    assert network.sizes == [fed]


def test_the_border_is_repeated_where_it_is_padded():
    class Seen(Darkness):
        def forward(self, x):
            self.seen = x
            return super().forward(x)

    network = Seen()
    image = np.random.default_rng(0).integers(0, 256, (33, 40), dtype=np.uint8)
    probability(network, Preprocessing(), image)
    padded = np.pad(image, ((0, 31), (0, 24)), "edge")
    assert network.seen.shape[-2:] == padded.shape
    own = network.seen[0, 0]
    assert torch.unique(own).numel() == np.unique(padded).size
    for grey in (padded.min(), padded.max()):
        assert torch.unique(own[torch.from_numpy(padded == grey)]).numel() == 1


@pytest.mark.parametrize(
    ("shape", "tile", "tiles"), [((64, 160), 64, 3), ((160, 160), 64, 9), ((64, 96), 33, 1), ((64, 96), 96, 0)]
)
def test_tiles_overlap_by_a_quarter_and_are_rounded_up_to_the_stride(shape, tile, tiles):
    """64 px tiles of 160 px begin at 0, 48 and 96; a tile as large as the frame is none."""

    class Counting(Darkness):
        count = 0

        def forward(self, x):
            self.count += len(x)
            return super().forward(x)

    network = Counting()
    probability(network, Preprocessing(), frame(*shape), tile=tile)
    if tiles > 1:
        assert (network.count, set(network.sizes)) == (tiles, {(64, 64)})
    else:
        assert set(network.sizes) == ({(64, 64)} if tiles else {shape})


@pytest.mark.parametrize("asked", [False, True])
def test_mirroring_costs_a_second_look_and_is_left_to_right(asked):
    network, image = Darkness(), frame(64, 96)
    probability(network, Preprocessing(mirrored=not asked), image, mirrored=asked)
    assert len(network.sizes) == 2
    network = Darkness()
    probability(network, Preprocessing(), image)
    assert len(network.sizes) == 1


def test_the_probability_is_calibrated_as_the_card_says():
    class Even(nn.Module):
        def forward(self, x):
            return torch.full_like(x[:, :1], np.log(0.25))  # 0.2

    plain = probability(Even(), Preprocessing(), frame(40, 40))
    np.testing.assert_allclose(plain, 0.2, rtol=1e-6)
    calibrated = probability(Even(), Preprocessing(calibration=(2.0, -1.0)), frame(40, 40))
    np.testing.assert_allclose(calibrated, 1 / (1 + 16 * np.e), rtol=1e-5)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RuntimeError("sizes of tensors\nmust match"), CheckpointError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
    ],
)
def test_a_network_that_does_not_fit_its_card_is_told_and_want_of_memory_is_another_thing(error, raised):
    class Broken(nn.Module):
        def forward(self, x):
            raise error

    model = darkness()
    model.network = Broken()
    with pytest.raises(raised) as found:
        model.predict(frame(64, 64))
    assert type(found.value) is raised
    if raised is CheckpointError:
        assert str(found.value).endswith("cannot take this frame (sizes of tensors)")

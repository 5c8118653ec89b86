"""What is shown of a frame's masking is what the training code computes for the same settings."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from vasomim_core.config import PretrainConfig, Training
from vasomim_core.data.augment import pretraining_crop
from vasomim_core.data.pretraining_frame import pretraining_frame
from vasomim_core.errors import ConfigError, InputError
from vasomim_core.inference.frame_masking import SAMPLES, FrameMasking, mask_frame
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.methods.vasomim import GuidedMAE
from vasomim_core.models.catalogue import ENCODER
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.registry import load_pretrained
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import VasoMIM
from vasomim_core.synthetic import synthesize
from vasomim_core.training.batches import Moment

SCHEDULE = MaskingSchedule(64, 16, 0.75, "anatomy", 0.1, 0.9, epochs=20, seed=5)


@pytest.fixture(scope="module")
def pair():
    return pretraining_frame(synthesize(3, size=160).frame[:, :120])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return VasoMIM(MaskedAutoencoder("tiny", 64, 16, 32, 1, 2), UNeXt()).eval()


class Unflipped(np.random.Generator):
    """Chance that cuts out the whole frame and does not flip it."""

    def __init__(self):
        super().__init__(np.random.PCG64())

    def random(self):
        return 0.9


def trained(network, pair, schedule, step, epoch):
    """What one step of pretraining on this frame alone does: its distribution, its masks and its losses."""
    frame, anatomy = pair
    aspect = frame.shape[1] / frame.shape[0]
    view = pretraining_crop(
        frame, anatomy.astype(np.uint8) * 255, Unflipped(), schedule.input_size, (1.0, 1.0), (aspect, aspect)
    )
    model = VasoMIM(network.autoencoder, network.segmentor, schedule.mask_ratio, schedule.sampler, schedule.co_guidance)
    seen = {}
    distribution, draw = model.distribution, model.sample_masks
    model.distribution = lambda *a: seen.setdefault("f", distribution(*a))
    model.sample_masks = lambda *a: seen.setdefault("mask", draw(*a))
    config = PretrainConfig(
        ".",
        ".",
        encoder="tiny",
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        training=Training(schedule.epochs),
    )
    batch = {"frame": torch.from_numpy(view[0].copy())[None], "mask": torch.from_numpy(view[1].copy())[None]}
    learner = GuidedMAE(config)
    learner.model = model
    with torch.no_grad():
        losses = learner(batch, Moment(step, epoch, slice(0, 1), 1, schedule.seed))
    return view, seen, losses


@pytest.mark.parametrize("sampler", ["anatomy", "top-k", "uniform"])
@pytest.mark.parametrize("co_guidance", [False, True])
def test_mask_distribution_and_losses_are_those_of_a_training_step(network, pair, sampler, co_guidance):
    schedule = replace(SCHEDULE, sampler=sampler, co_guidance=co_guidance)
    masking = FrameMasking(*pair, schedule, network)
    mask = masking.mask(13)
    (image, anatomy), seen, losses = trained(network, pair, schedule, step=0, epoch=13)
    np.testing.assert_array_equal(mask.image, image)
    np.testing.assert_array_equal(mask.anatomy, anatomy > 127)
    np.testing.assert_array_equal(mask.f.ravel(), seen["f"][0])
    np.testing.assert_array_equal(mask.masked.ravel(), seen["mask"][0])
    made = masking.reconstruct(mask, network)
    assert made.l_rec == pytest.approx(losses["reconstruction"].item(), rel=1e-6)
    assert made.l_cons == pytest.approx(losses["consistency"].item(), rel=1e-6)


@pytest.mark.parametrize("sampler", ["anatomy", "top-k", "uniform"])
def test_the_masking_ratio_is_that_of_a_training_with_a_step_per_epoch(network, pair, sampler):
    schedule = replace(SCHEDULE, sampler=sampler)
    ratio = FrameMasking(*pair, schedule).over_epochs().masking_ratio
    steps = [trained(network, pair, schedule, step=e, epoch=e)[1]["mask"][0].float() for e in range(schedule.epochs)]
    np.testing.assert_allclose(ratio.ravel(), torch.stack(steps).mean(0), atol=1e-6)


def test_the_reconstruction_is_of_the_mask_that_is_shown(network, pair):
    """The sampler, γ and the seed change I′; what is visible stays the frame where the view says so."""
    drawn = {}
    for change in ({}, {"sampler": "uniform"}, {"mask_ratio": 0.9}, {"seed": 6}):
        masking = FrameMasking(*pair, replace(SCHEDULE, **change), network)
        mask = masking.mask(19)
        made = masking.reconstruct(mask, network)
        hidden = np.kron(mask.masked, np.ones((16, 16), bool))
        np.testing.assert_array_equal(made.filled[~hidden], mask.image[~hidden])
        np.testing.assert_array_equal(made.filled[hidden], made.reconstruction[hidden])
        drawn[str(change)] = made.reconstruction
    first, *others = drawn.values()
    assert all(np.abs(first - other).max() > 1 for other in others)


def test_the_reconstruction_depends_on_visible_patches_alone(network, pair):
    frame, anatomy = pair
    masking = FrameMasking(frame, anatomy, SCHEDULE, network)
    mask = masking.mask(19)
    row, column = np.argwhere(mask.masked)[0]
    other = FrameMasking(frame, anatomy, SCHEDULE, network)
    other._image = mask.image.copy()
    patch = np.s_[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
    # The same mean and deviation, which I′ takes from the true patch.
    other._image[patch] = other._image[patch][::-1]
    np.testing.assert_allclose(
        other.reconstruct(mask, network).reconstruction, masking.reconstruct(mask, network).reconstruction, atol=1e-3
    )


@pytest.mark.parametrize("size", [96, 256])
def test_a_model_draws_at_other_sizes(pair, size):
    model, card = load_pretrained(ENCODER, "cpu", size)
    schedule = replace(SCHEDULE, input_size=size)
    made = FrameMasking(*pair, schedule, model)
    assert made.reconstruct(made.mask(0), model).reconstruction.shape == (size, size)
    other = FrameMasking(*pair, replace(schedule, input_size=64))
    with pytest.raises(ConfigError, match=f"loaded for {size} px"):
        other.reconstruct(other.mask(0), model)
    same = load_pretrained(ENCODER, "cpu", card.options["input_size"])[0].state_dict()
    for name, tensor in load_pretrained(ENCODER, "cpu")[0].state_dict().items():
        assert torch.equal(tensor, same[name]), name


def test_curves_are_short_for_long_schedules_and_whole_for_short_ones(pair):
    long = FrameMasking(*pair, replace(SCHEDULE, epochs=1001)).over_epochs()
    assert len(long.epochs) == 50
    assert (long.epochs[0], long.epochs[-1]) == (0, 1000)
    assert long.betas[-1] == pytest.approx(0.9)
    short = FrameMasking(*pair, SCHEDULE).over_epochs()
    assert short.epochs.tolist() == list(range(20))
    assert SAMPLES > 1
    assert short.vessel_patches[-1] > short.vessel_patches[0]


def test_a_model_gives_its_sizes_and_refuses_others(pretrained):
    frame = synthesize(3, size=160).frame
    with pytest.raises(ConfigError, match="patch size is 8 px; this model's patches are of 16 px"):
        mask_frame(frame, replace(SCHEDULE, patch_size=8), 0, model=pretrained)
    result = mask_frame(frame, SCHEDULE.for_model({"input_size": 96, "patch_size": 16}), 0, model=pretrained)
    assert result.schedule.input_size == 96
    assert result.reconstruction.reconstruction.shape == (96, 96)
    assert result.model == "p"


def test_the_schedule_has_the_names_and_defaults_of_pretraining():
    config = PretrainConfig(".", ".")
    schedule = MaskingSchedule()
    for field in fields(MaskingSchedule):
        where = config.training if field.name in ("epochs", "seed") else config
        assert getattr(where, field.name) == getattr(schedule, field.name)


def test_a_frame_alone_is_masked_as_in_the_last_epoch_of_pretraining():
    frame = synthesize(3, size=(101, 157)).frame
    result, last = mask_frame(frame), mask_frame(frame, MaskingSchedule(), 199)
    np.testing.assert_array_equal(result.mask.masked, last.mask.masked)
    assert (result.schedule, result.mask.epoch, result.mask.beta) == (MaskingSchedule(), 199, 0.5)
    with pytest.raises(InputError, match="frame is float64"):
        mask_frame(frame / 255)


def test_large_frames_are_masked_at_the_scale_of_pretraining():
    frame = synthesize(3, size=640).frame
    result = mask_frame(frame, MaskingSchedule(epochs=2), 0)
    small, anatomy = pretraining_frame(frame)
    assert small.shape == (512, 512)
    np.testing.assert_array_equal(result.mask.f, FrameMasking(small, anatomy, MaskingSchedule(epochs=2)).mask(0).f)

"""A packaged model: the best masks, an honest probability, half the bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vasomim_core.errors import CheckpointError, ConfigError, LabelError
from vasomim_core.evaluation.metrics import dsc, mean_overlap
from vasomim_core.inference.frame_masking import FrameMasking
from vasomim_core.labels.labelled import open_labels
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import find_model, read_card
from vasomim_core.models.checkpoint import read_state, save_checkpoint
from vasomim_core.models.registry import load_model, load_pretrained
from vasomim_core.synthetic import write_samples
from vasomim_core.training.packaging import package, package_encoder


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, 4, seed=50, size=256)
    return open_labels(folder)


def test_the_probability_becomes_honest_and_the_masks_the_best(frames, tmp_path):
    packaged = tmp_path / "given.safetensors"
    scores = package("vasomim-demo", frames, packaged, "a line")
    card, before = read_card(packaged), read_card(find_model("vasomim-demo"))
    assert card.scores == {"validation": scores}
    assert card.description == "a line"
    assert card.config == before.config
    assert scores["frames"] == 4
    assert scores["ece_near"] < scores["ece_near_as_trained"]  # as it was trained, it was never calibrated
    model, threshold = load_model(packaged), card.preprocessing.threshold
    probabilities = [model.predict(frame.frame()) for frame in frames]
    truths = [np.asarray(frame.mask(), bool) for frame in frames]

    def score(t):
        return mean_overlap((p >= t, truth) for p, truth in zip(probabilities, truths, strict=True))[0]

    assert score(threshold) == pytest.approx(scores["dsc"], abs=0.05)
    assert all(score(t) <= scores["dsc"] + 0.05 for t in (0.2, 0.3, 0.4, 0.5, 0.6))
    # What is true changes what the probability means, not which pixel comes before which.
    package("vasomim-demo", frames[:2], tmp_path / "other.safetensors")
    other = load_model(tmp_path / "other.safetensors").predict(frames[0].frame())
    assert not np.allclose(probabilities[0], other)
    assert np.all(np.diff(other.ravel()[np.argsort(probabilities[0], axis=None)]) >= -1e-5)


def test_a_mirrored_model_says_so_and_is_averaged_wherever_it_is_used(frames, tmp_path):
    package("vasomim-demo", frames[:2], tmp_path / "mirrored.safetensors", mirrored=True)
    model, frame = load_model(tmp_path / "mirrored.safetensors"), frames[0].frame()
    assert model.card.preprocessing.mirrored
    p = model.predict(frame)
    np.testing.assert_allclose(model.predict(frame[:, ::-1]), p[:, ::-1], atol=1e-5)
    np.testing.assert_array_equal(model.predict(frame, mirrored=True), p)


def test_a_model_may_see_frames_larger_than_it_was_trained_on(frames, tmp_path):
    made = tmp_path / "larger.safetensors"
    scores = package("vasomim-demo", frames[:2], made, frame_size=320)
    model = load_model(made)
    assert model.card.preprocessing.frame_size == 320 != load_model("vasomim-demo").card.preprocessing.frame_size
    found = [model.predict(frame.frame()) >= model.threshold for frame in frames[:2]]
    pairs = zip(found, (np.asarray(frame.mask(), bool) for frame in frames[:2]), strict=True)
    assert scores["dsc"] == pytest.approx(mean_overlap(pairs)[0], abs=0.3)
    with pytest.raises(ConfigError, match="frame_size is 8"):
        package("vasomim-demo", frames[:2], made, frame_size=8)


def test_weights_may_be_the_mean_of_two_models(frames, tmp_path):
    card, demo = read_card(find_model("vasomim-demo")), read_state(find_model("vasomim-demo"))
    other = {name: one * 1.25 if one.is_floating_point() else one for name, one in demo.items()}
    save_checkpoint(tmp_path / "other.safetensors", other, card)
    made = tmp_path / "mean.safetensors"
    scores = package("vasomim-demo", frames[:2], made, average=tmp_path / "other.safetensors")
    assert read_card(made).config == card.config | {"averaged": True}
    for name, one in read_state(made).items():
        expected = demo[name] * 1.125 if one.is_floating_point() else demo[name]
        torch.testing.assert_close(one, expected, rtol=1e-3, atol=1e-6)
    found = [load_model(made).predict(frame.frame()) >= load_model(made).threshold for frame in frames[:2]]
    assert scores["dsc"] == pytest.approx(
        100 * np.mean([dsc(a, frame.mask()) for a, frame in zip(found, frames[:2], strict=True)]), abs=0.3
    )
    with pytest.raises(CheckpointError, match="another network"):
        package("vasomim-demo", frames[:2], made, average="vasomim-fast")


def test_two_frames_are_the_least(frames, tmp_path):
    with pytest.raises(LabelError, match="too few"):
        package("vasomim-demo", frames[:1], tmp_path / "x.safetensors")


def test_an_encoder_is_halved_and_still_draws_the_same(pretrained, frames, tmp_path):
    package_encoder(pretrained, tmp_path / "half.safetensors", "a line")
    card, before = read_card(tmp_path / "half.safetensors"), read_card(pretrained)
    assert (card.description, card.options, card.config) == ("a line", before.options, before.config)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * pretrained.stat().st_size
    frame, mask = frames[0].frame(), np.asarray(frames[0].mask(), bool)
    schedule = MaskingSchedule().for_model(card.options)
    masking = FrameMasking(frame, mask, schedule)
    models = (load_pretrained(path, "cpu")[0] for path in (tmp_path / "half.safetensors", pretrained))
    drawn, expected = (masking.reconstruct(masking.mask(0), model).reconstruction for model in models)
    np.testing.assert_allclose(drawn, expected, atol=0.01 * np.ptp(expected))
    with pytest.raises(CheckpointError, match="--validation"):
        package_encoder("vasomim-demo", tmp_path / "x.safetensors")

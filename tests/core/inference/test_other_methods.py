"""What AMT and HPM would mask of a frame is what they mask while they learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.core.methods.made import begun, images, moment, small
from vasomim_core.cli import run
from vasomim_core.config import FinetuneConfig, card_settings
from vasomim_core.errors import CheckpointError, ConfigError, InputError
from vasomim_core.files import write_png
from vasomim_core.inference.frame_masking import mask_frame
from vasomim_core.masking.figures import kinds, save_comparison
from vasomim_core.masking.results import save_csv, save_npz
from vasomim_core.masking.sampling import mask_noise
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import read_state, save_checkpoint
from vasomim_core.models.guides import GUIDE
from vasomim_core.models.registry import load_guide, load_model
from vasomim_core.synthetic import synthesize
from vasomim_core.training.start import start_network

SCHEDULE = MaskingSchedule(64, 16, epochs=10, seed=5)


def learned(name, path, **changes):
    """A method after two steps, and its file."""
    method, batch = begun(small(name, **changes))
    optimiser = torch.optim.SGD(method.parameters(), 0.05)
    method.before_epoch(1)
    for step in range(2):
        now = moment(method.config, step)
        method(batch, now)["loss"].backward()
        optimiser.step()
        method.after_step(now)
    kind, architecture, options, further = method.described()
    card = Card(kind, architecture, options, config=card_settings(method.config) | further)
    save_checkpoint(path, method.kept(), card)
    return method.eval(), batch


@pytest.fixture
def frame():
    return synthesize(3, size=160).frame[:, :120]


@pytest.fixture
def hpm(tmp_path):
    return learned("hpm", tmp_path / "hpm.safetensors", ema_start=0.5, ema_end=0.5)[0], tmp_path / "hpm.safetensors"


@pytest.fixture
def amt(tmp_path):
    return learned("amt", tmp_path / "amt.safetensors")[0], tmp_path / "amt.safetensors"


def test_the_predicted_loss_is_that_of_the_slow_copies(hpm):
    method, path = hpm
    guide, card = load_guide(path)
    assert card.guides == "predicted loss"
    score = guide.score(images())
    torch.testing.assert_close(score, method.predicted_by_copy(images()))
    fast = method.hardness(method.autoencoder.encode(images()), torch.arange(16).expand(2, 16))[..., 0]
    assert not torch.allclose(score, fast)


def test_the_attention_is_that_of_the_kept_encoder_by_a_plain_loop(amt):
    method, path = amt
    guide, card = load_guide(path)
    assert card.guides == "attention"
    score, vit, kept = guide.score(images()), method.autoencoder, {}
    hook = vit.blocks[-1].attn.qkv.register_forward_hook(lambda m, i, o: kept.setdefault("qkv", o))
    vit.encode(images())
    hook.remove()
    heads, wide = vit.blocks[-1].attn.num_heads, vit.blocks[-1].attn.head_dim
    for b in range(2):
        total = np.zeros(16)
        for h in range(heads):
            q, k = (kept["qkv"][b, :, part * heads * wide + h * wide :][:, :wide].detach().numpy() for part in (0, 1))
            logits = [float(q[0] @ k[t]) / wide**0.5 for t in range(17)]
            weights = np.exp(logits)[1:] / np.exp(logits).sum()
            total += (weights - weights.min()) / (weights.max() - weights.min())
        np.testing.assert_allclose(score[b].numpy(), total / heads, atol=1e-4)


@pytest.mark.parametrize("name", ["amt", "hpm"])
def test_masks_are_those_of_a_training_step(name, tmp_path):
    """The same frame, noise and epoch."""
    path = tmp_path / "m.safetensors"
    method, batch = learned(name, path)
    guide, _ = load_guide(path)
    seen, now = {}, moment(method.config, 2)
    assert now.epoch == 1
    encode = method.autoencoder.encode

    def noted(pictures, kept):
        seen["kept"] = kept
        return encode(pictures, kept)

    method.autoencoder.encode = noted
    pictures = method.images(batch["frame"])
    with torch.no_grad():
        score = guide.score(pictures)
        if name == "amt":  # as if it had been computed anew on these very crops
            method.attention[batch["index"]] = score
            batch["place"] = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(4, 4)
        method(batch, now)
        noise = mask_noise(method.config.training.seed, now.step, 4, 16)
        chosen = guide.choose(score, now.epoch, method.config.training.epochs, noise)
    hidden = chosen.masked | chosen.thrown
    for row, kept in zip(hidden, seen["kept"], strict=True):
        assert sorted(kept.tolist()) == torch.nonzero(~row)[:, 0].tolist()
    assert chosen.guided.any()


def test_the_counts_of_a_frames_masks(amt, hpm, frame):
    """Of 16 patches AMT masks ⌊0.45·16⌋ = 7 and throws away ⌊0.85·16⌋ − 7 = 6; HPM masks 12, ⌊12·0.5·(e + 1)/E⌋ by
    predicted loss."""
    by_attention = [mask_frame(frame, SCHEDULE, epoch, guide=amt[1]).mask for epoch in (0, 4, 5, 9)]
    counts = [(int(m.masked.sum()), int(m.guided.sum()), int(m.thrown.sum())) for m in by_attention]
    assert counts == [(12, 0, 0)] * 2 + [(7, 7, 6)] * 2  # `small` has uniform masks for half of the epochs
    assert [m.beta for m in by_attention] == [0, 0, 1, 1]
    by_loss = [mask_frame(frame, SCHEDULE, epoch, guide=hpm[1]) for epoch in (0, 4, 9)]
    assert [(int(r.mask.masked.sum()), int(r.mask.guided.sum())) for r in by_loss] == [(12, 0), (12, 3), (12, 6)]
    last = by_loss[-1].mask
    assert last.f[last.guided].min() >= np.sort(last.f[~last.guided])[-1]
    assert by_loss[-1].over_epochs.masking_ratio.sum() == pytest.approx(12)
    assert by_loss[-1].over_epochs.betas == pytest.approx(0.05 * np.arange(1, 11))
    other = mask_frame(frame, MaskingSchedule(64, 16, epochs=10, seed=6), 9, guide=hpm[1]).mask
    assert (other.masked != last.masked).any()
    np.testing.assert_array_equal(other.guided, last.guided)  # chance has no part in what is hardest


def test_what_is_thrown_away_is_shown_and_kept(amt, frame, tmp_path):
    theirs, ours = mask_frame(frame, SCHEDULE, guide=amt[1]), mask_frame(frame, SCHEDULE)
    assert (theirs.guide, theirs.by, theirs.settings()["guided_by"]) == ("amt", "attention", "attention")
    assert "mask_ratio" not in theirs.settings()  # it has its own
    assert np.bincount(kinds(theirs.mask).ravel()).tolist() == [3, 7, 0, 6]
    save_comparison(tmp_path / "ab.png", ours, theirs)
    save_npz(tmp_path / "ab.npz", {"_a": ours, "_b": theirs})
    with np.load(tmp_path / "ab.npz") as kept:
        assert "thrown_a" not in kept.files
        np.testing.assert_array_equal(kept["thrown_b"], theirs.mask.thrown)
    save_csv(tmp_path / "ab.csv", {"_a": ours, "_b": theirs})
    assert (tmp_path / "ab.csv").read_text().splitlines()[0].endswith("f_b,masked_b,guided_b,thrown_b,masking_ratio_b")
    with pytest.raises(InputError, match="NPZ"):
        save_csv(tmp_path / "ab.csv", {"_a": mask_frame(frame, MaskingSchedule(64, 8, epochs=3)), "_b": theirs})


def test_what_the_file_adds_is_no_hindrance_elsewhere(hpm):
    _, path = hpm
    assert start_network(FinetuneConfig("labels", "run", init=str(path), input_size=64)).architecture == "vit"
    assert load_model(path).card.kind == "encoder"


def test_files_that_choose_nothing_are_refused(amt, hpm, frame, tmp_path):
    other = tmp_path / "other.safetensors"
    learned("deblurring", other)
    with pytest.raises(CheckpointError, match="AMT or HPM"):
        mask_frame(frame, SCHEDULE, guide=other)
    _, card = load_guide(hpm[1])
    save_checkpoint(other, {k: v for k, v in read_state(hpm[1]).items() if not k.startswith(GUIDE)}, card)
    with pytest.raises(CheckpointError, match="earlier versions"):
        mask_frame(frame, SCHEDULE, guide=other)
    broken = Card(card.kind, card.architecture, card.options, config=dict(card.config) | {"beta_end": 7})
    save_checkpoint(other, read_state(hpm[1]), broken)
    with pytest.raises(CheckpointError, match="beta_end"):
        mask_frame(frame, SCHEDULE, guide=other)
    with pytest.raises(ConfigError, match="patch size"):
        mask_frame(frame, MaskingSchedule(64, 8), guide=amt[1])
    with pytest.raises(ConfigError, match="epoch 10 of 10"):
        mask_frame(frame, SCHEDULE, 10, guide=amt[1])
    with pytest.raises(ConfigError, match="--guide"):
        mask_frame(frame, SCHEDULE, model="vasomim-encoder", guide=amt[1])


def test_the_command_draws_them_too(amt, frame, tmp_path, capsys):
    """The sizes are those of the encoder, and the masks those of the engine."""
    write_png(tmp_path / "in" / "x.png", frame)
    where = ("--output", tmp_path / "out", "--guide", amt[1], "--epochs", 10, "--seed", 5)
    assert run([str(word) for word in ("mask", tmp_path / "in" / "x.png", *where)]) == 0
    told = capsys.readouterr().out
    assert "7 of 16 patches are masked, 7 by attention of amt, 6 are thrown away" in told
    with np.load(tmp_path / "out" / "x.npz") as kept:
        np.testing.assert_array_equal(kept["thrown"], mask_frame(frame, SCHEDULE, guide=amt[1]).mask.thrown)

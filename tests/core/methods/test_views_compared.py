"""CheXWorld, MoCo v3 and DINO against their cards."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.core.methods.made import Frames, begun, images, learner, moment, settings, small, with_gradient
from vasomim_core.errors import ConfigError, RunError
from vasomim_core.methods import chexworld
from vasomim_core.methods.copies import follow, half_cosine, linear
from vasomim_core.methods.dino import distillation
from vasomim_core.methods.masks import Blocks
from vasomim_core.methods.mocov3 import contrast
from vasomim_core.methods.views import DistortedPair, place
from vasomim_core.models.vit import sincos_positions


def test_schedules_at_their_first_middle_and_last_value():
    assert [linear(0.996, 1.0, x) for x in (0, 0.5, 1, 2)] == pytest.approx([0.996, 0.998, 1, 1])
    assert [half_cosine(0.04, 0.4, x) for x in (0, 0.5, 1)] == pytest.approx([0.04, 0.22, 0.4])
    method = learner(small("mocov3"))
    for progress in (0, 0.3, 0.5, 1):
        m = 1 - 0.5 * (1 + math.cos(math.pi * progress)) * 0.01
        assert method.momentum(progress) == pytest.approx(m)


def test_a_copy_follows_weights_and_keeps_its_own_buffers():
    slow, fast = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        fast.weight.fill_(2.0)
        fast.running_mean.fill_(5.0)
    follow(slow, fast, 0.9)
    assert slow.weight.tolist() == pytest.approx([1.1] * 3)
    assert slow.running_mean.tolist() == [0.0] * 3


# CheXWorld


def test_context_and_targets_of_14_by_14():
    blocks = Blocks((14, 14), 4, (0.15, 0.2), (0.75, 1.5), (0.75, 1.0))
    for seed in range(20):
        context, targets = blocks.draw(6, np.random.default_rng(seed))
        assert targets.shape[:2] == (6, 4)
        assert 0.13 * 196 <= targets.shape[2] <= 0.23 * 196
        assert context.shape[1] >= 196 // 16
        for row in range(6):
            seen = context[row].tolist()
            assert len(set(seen)) == len(seen)
            assert not set(seen) & set(targets[row].flatten().tolist())
            for target in targets[row].numpy():
                rows, columns = np.unique(target // 14), np.unique(target % 14)
                assert len(rows) * len(columns) == len(target)
                assert 0.6 < len(rows) / len(columns) < 1.8
                assert np.ptp(rows) == len(rows) - 1
                assert np.ptp(columns) == len(columns) - 1
            box = [np.ptp(np.array(seen) // 14) + 1, np.ptp(np.array(seen) % 14) + 1]
            assert max(box) <= 13


def test_positions_of_one_crop_on_the_grid_of_another():
    """Four patches across; the other crop begins a quarter of a crop further right, and is flipped."""
    here = torch.from_numpy(np.stack([place((0, 0, 40, 40), (100, 100), False)]))
    right = torch.from_numpy(np.stack([place((10, 0, 50, 40), (100, 100), False)]))
    mirror = torch.from_numpy(np.stack([place((10, 0, 50, 40), (100, 100), True)]))
    positions = chexworld.where(torch.arange(16), (4, 4))[None]
    same = chexworld.seen_from(positions, here, here, (4, 4))
    torch.testing.assert_close(same, positions)
    moved = chexworld.seen_from(positions, right, here, (4, 4))
    torch.testing.assert_close(moved, positions + torch.tensor([1.0, 0.0]))
    turned = chexworld.seen_from(positions, mirror, here, (4, 4))
    torch.testing.assert_close(turned[0, :4, 0], torch.tensor([4.0, 3.0, 2.0, 1.0]))
    back = chexworld.seen_from(turned, here, mirror, (4, 4))
    torch.testing.assert_close(back, positions)


def test_whole_positions_are_those_of_the_encoder():
    own = chexworld.sincos_at(chexworld.where(torch.arange(12), (3, 4)), 16)
    torch.testing.assert_close(own, sincos_positions(16, (3, 4))[0, 1:])


def test_pairs_are_equally_large_flipped_apart_and_say_how_they_are_distorted():
    frame, flips, blurred = Frames((90, 120))[1][0], set(), 0
    for seed in range(60):
        view = DistortedPair(32)(frame, frame, np.random.default_rng(seed))
        size = np.abs(view["place"][:, 2:])
        assert size[0].tolist() == pytest.approx(size[1].tolist())
        corner = view["place"][:, :2] + np.minimum(view["place"][:, 2:], 0)
        assert (corner >= -1e-6).all()
        assert (corner + size <= 1 + 1e-6).all()
        flips.add(tuple(view["place"][:, 2] < 0))
        assert (np.abs(view["distortion"][:, :2]) <= 0.4).all()
        assert (np.abs(view["distortion"][:, 2]) <= 1).all()
        blurred += int(view["distortion"][:, 3].sum())
        assert ((view["distortion"][:, 4] > 0) == (view["distortion"][:, 3] == 1)).all()
        assert not np.array_equal(view["clean"], view["distorted"])
    assert len(flips) == 4
    assert 8 <= blurred <= 42  # of 120, each with probability 0.2


def test_chexworld_loss_is_the_mean_of_within_and_across_by_a_plain_loop():
    config = small("chexworld")
    method, batch = begun(config)
    method.eval()
    now = moment(config)
    context, targets = method.masks(now, "cpu")
    rows = 4
    errors = {0: [], 1: []}
    with torch.no_grad():
        for b in range(rows):
            for a in range(2):
                source = a * rows + b
                tokens = method.encoder(method.images(batch["distorted"][b, a][None]), context[source][None])[:, 1:]
                here = chexworld.where(context[source][None], (4, 4))
                for other in (0, 1):
                    goal = (a if other == 0 else 1 - a) * rows + b
                    view = goal // rows
                    clean = method.slow(method.images(batch["clean"][b, view][None]))[:, 1:]
                    clean = F.layer_norm(clean, clean.shape[-1:])
                    there = chexworld.where(targets[goal][None], (4, 4))
                    there = chexworld.seen_from(
                        there, batch["place"][b, view][None], batch["place"][b, a][None], (4, 4)
                    )
                    said = method.predictor(tokens, here, there, batch["distortion"][b, a][None])
                    for t in range(targets.shape[1]):
                        true = clean[0, targets[goal, t]]
                        errors[other].append(float((said[0, t] - true).square().mean()))
        found = method(batch, now)
    assert float(found["within"]) == pytest.approx(np.mean(errors[0]), rel=1e-4)
    assert float(found["across"]) == pytest.approx(np.mean(errors[1]), rel=1e-4)
    assert float(found["loss"]) == pytest.approx((np.mean(errors[0]) + np.mean(errors[1])) / 2, rel=1e-4)


def test_chexworld_keeps_its_slow_copy_which_gets_no_gradient():
    config = small("chexworld")
    method, batch = begun(config)
    method(batch, moment(config))["loss"].backward()
    got = with_gradient(method)
    assert not any(n.startswith("slow.") for n in got)
    assert {"predictor.mask_token", "predictor.join.0.weight", "encoder.cls_token"} <= got
    with torch.no_grad():
        method.encoder.norm.bias.add_(1.0)
    method.after_step(moment(config, 0))
    assert method.kept()["norm.bias"].tolist() == pytest.approx([0.004] * 192, abs=1e-6)
    method.after_step(moment(config, 2))
    assert method.kept()["norm.bias"][0] == pytest.approx(0.998 * 0.004 + 0.002, abs=1e-6)


# MoCo v3


def test_contrast_by_a_plain_loop():
    queries, keys = torch.randn(2, 5), torch.randn(6, 5)
    total = 0.0
    for i in range(2):
        q = queries[i] / queries[i].norm()
        alike = [float(q @ (k / k.norm())) / 0.2 for k in keys]
        total -= alike[3 + i] - math.log(sum(map(math.exp, alike)))
    assert float(contrast(queries, keys, 3, 0.2)) == pytest.approx(2 * 0.2 * total / 2, rel=1e-5)


def test_moco_is_symmetric_and_freezes_the_patch_embedding():
    config = small("mocov3")
    method, batch = begun(config)
    loss = method(batch, moment(config))["loss"]
    turned = batch | {"views": batch["views"].flip(1)}
    assert float(method(turned, moment(config))["loss"]) == pytest.approx(float(loss), rel=1e-5)
    loss.backward()
    got = with_gradient(method)
    assert not any(n.startswith(("slow", "encoder.patch_embed")) for n in got)
    assert any(n.startswith("predictor.") for n in got)
    assert {n for n, p in method.named_parameters() if p.requires_grad} == got


def test_moco_heads_are_those_of_the_paper():
    method = learner(settings("mocov3"))
    shapes = [m.weight.shape[::-1] for m in method.projector if isinstance(m, torch.nn.Linear)]
    assert [tuple(s) for s in shapes] == [(192, 4096), (4096, 4096), (4096, 256)]
    shapes = [m.weight.shape[::-1] for m in method.predictor if isinstance(m, torch.nn.Linear)]
    assert [tuple(s) for s in shapes] == [(256, 4096), (4096, 256)]
    for head in (method.projector, method.predictor):
        assert all(m.bias is None for m in head if isinstance(m, torch.nn.Linear))
        norms = [m for m in head if isinstance(m, torch.nn.BatchNorm1d)]
        assert [m.affine for m in norms] == [True] * (len(norms) - 1) + [False]


def test_moco_copy_follows_for_the_next_step():
    config = small("mocov3")
    method = learner(config)
    before = method.slow.norm.bias.clone()
    with torch.no_grad():
        method.encoder.norm.bias.add_(1.0)
    method.after_step(moment(config, 1, 4))  # half of the run has passed when the next keys are made
    torch.testing.assert_close(method.slow.norm.bias, before + 0.005)


def test_moco_is_not_computed_in_parts(tmp_path):
    from dataclasses import replace

    from vasomim_core.files import write_png
    from vasomim_core.training.pretrain import pretrain

    write_png(tmp_path / "frames" / "1.png", Frames()[0][0])
    config = small("mocov3", data=tmp_path / "frames", run=tmp_path / "run")
    with pytest.raises(RunError, match="accumulate"):
        pretrain(replace(config, training=replace(config.training, accumulate=2)))
    with pytest.raises(ConfigError, match="batch-size"):
        learner(replace(config, training=replace(config.training, batch_size=1)))


# DINO


def test_distillation_by_a_plain_loop():
    student, teacher, centre = torch.randn(4, 3, 5), torch.randn(2, 3, 5), torch.randn(5)
    terms = []
    for t in range(2):
        for v in range(4):
            if t == v:
                continue
            for b in range(3):
                p = ((teacher[t, b] - centre) / 0.04).softmax(0)
                q = (student[v, b] / 0.1).softmax(0)
                terms.append(-float((p * q.log()).sum()))
    assert float(distillation(student, teacher, centre, 0.04, 0.1)) == pytest.approx(np.mean(terms), rel=1e-4)


def test_dino_teacher_sees_large_views_alone_and_gets_no_gradient():
    config = small("dino")
    method, batch = begun(config)
    seen = []
    method.teacher.register_forward_hook(lambda m, i, o: seen.append(tuple(i[0].shape)))
    method(batch, moment(config))["loss"].backward()
    assert seen == [(8, 3, 64, 64)]
    assert batch["small"].shape == (4, 2, 32, 32)
    got = with_gradient(method)
    assert not any(n.startswith("teacher") for n in got)
    assert {n for n, p in method.named_parameters() if p.requires_grad} == got


def test_dino_centre_follows_the_whole_batch_however_it_is_split():
    config = small("dino")
    centres = []
    for parts in (1, 2):
        method, batch = begun(config)
        rows = 4 // parts
        outputs = []
        method.teacher_head.register_forward_hook(lambda m, i, o, found=outputs: found.append(o))
        for part in range(parts):
            chosen = slice(part * rows, (part + 1) * rows)
            now = moment(config)
            now = type(now)(now.step, now.epoch, chosen, 4, now.seed, now.steps)
            method({k: v[chosen] for k, v in batch.items()}, now)
        method.after_step(moment(config))
        torch.testing.assert_close(method.centre, 0.1 * torch.cat(outputs).mean(0))
        centres.append(method.centre)
        assert not method.said
    torch.testing.assert_close(*centres)


def test_dino_last_layer_waits_an_epoch_and_weight_decay_rises():
    config = small("dino")
    method, batch = begun(config)
    optimiser = torch.optim.AdamW([{"params": method.head.last, "weight_decay": 0.04}, {"params": []}])
    decays = []
    for step in (0, 1, 2):
        method(batch, moment(config, step))["loss"].backward()
        method.before_step(moment(config, step), optimiser)
        assert (method.head.last.grad is None) == (step < 2)  # two steps are an epoch
        decays.append(optimiser.param_groups[0]["weight_decay"])
    assert decays == pytest.approx([0.04, half_cosine(0.04, 0.4, 0.25), 0.22])


def test_dino_keeps_its_teacher():
    config = small("dino")
    method, batch = begun(config)
    method(batch, moment(config))
    with torch.no_grad():
        method.encoder.norm.bias.add_(1.0)
    method.after_step(moment(config, 0))
    assert method.kept()["norm.bias"].tolist() == pytest.approx([0.004] * 192, abs=1e-6)


def test_dino_head_gives_cosines_of_unit_vectors():
    method = learner(settings("dino"))
    assert [m.out_features for m in method.head.mlp if isinstance(m, torch.nn.Linear)] == [2048, 2048, 256]
    assert method.head.last.shape == (4096, 256)
    said = method.head(method.encoder(images(2, 224))[:, 0])
    assert said.abs().max() <= 1 + 1e-5
    length = method.head.last.norm(dim=1)
    with torch.no_grad():
        method.head.last.mul_(3 / length[:, None])  # the length of its rows does not matter
    torch.testing.assert_close(method.head(method.encoder(images(2, 224))[:, 0]), said)

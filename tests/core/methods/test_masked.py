"""SimMIM, AMT, HPM, DeblurringMIM, CrossMAE and MAE against their cards."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.core.methods.made import Frames, begun, images, learner, moment, settings, small, with_gradient
from vasomim_core.errors import ConfigError
from vasomim_core.methods import amt, losses
from vasomim_core.methods.simmim import covered_l1
from vasomim_core.methods.views import BlurredCrop, PlacedCrop, levels, place
from vasomim_core.models import objectives
from vasomim_core.models.encoder import Encoder
from vasomim_core.models.guides import hardest


def noise(rows: int, count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, count, generator=torch.Generator().manual_seed(seed))


def test_mae_hides_147_of_196_and_is_vasomim_without_anatomy():
    assert learner(settings("mae", decoder_depth=1)).masked == 147
    config = small("mae")
    method, batch = begun(config)
    plain, _ = begun(small("vasomim", sampler="uniform", mask_ratio=0.75))
    now = moment(config)
    assert torch.equal(method(batch, now)["loss"], plain(batch, now)["loss"])


# SimMIM


def test_simmim_covers_30_of_49_blocks_which_are_120_patches():
    method = learner(settings("simmim"))
    mask = method.mask(noise(3, 49))
    assert mask.shape == (3, 14, 14)
    assert mask.flatten(1).sum(1).tolist() == [120] * 3
    blocks = mask.float().view(3, 7, 2, 7, 2).mean((2, 4))
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(mask[0], mask[1])


def test_simmim_sees_all_patches_with_a_token_in_the_place_of_covered_ones():
    method = learner(small("simmim")).eval()
    pictures, mask = images(), torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[:, :2, :2] = True
    drawn = method.draw(pictures, mask)
    assert drawn.shape == pictures.shape
    other = pictures.clone()
    other[:, :, :32, :32] = 7.0  # what is covered is not seen
    assert torch.equal(method.draw(other, mask), drawn)
    other[:, :, 40, 40] = 7.0  # what is not covered is
    assert not torch.equal(method.draw(other, mask), drawn)


def test_simmim_loss_by_a_plain_loop():
    drawn, pictures = images(2, 8), images(2, 8) * 0.5 + 1
    mask = torch.tensor([[[True, False], [False, True]], [[False, False], [True, False]]])
    total, count = 0.0, 0
    for b in range(2):
        for y in range(8):
            for x in range(8):
                if mask[b, y // 4, x // 4]:
                    count += 1
                    total += float((pictures[b, :, y, x] - drawn[b, :, y, x]).abs().sum())
    assert float(covered_l1(drawn, pictures, mask, 4)) == pytest.approx(total / (count + 1e-5) / 3, rel=1e-5)


def test_simmim_has_relative_positions_layer_scale_and_no_absolute_positions():
    method = learner(small("simmim"))
    assert method.encoder.pos_embed.abs().sum() == 0
    assert not method.encoder.pos_embed.requires_grad
    assert method.encoder.blocks[0].ls1.gamma.tolist() == pytest.approx([0.1] * 192)
    method.draw(images(), torch.zeros(2, 4, 4, dtype=torch.bool)).sum().backward()
    assert "encoder.rel_pos_bias.relative_position_bias_table" in with_gradient(method)
    # The bias is that of the distance: it is the same for pairs of patches equally far apart.
    table = method.encoder.rel_pos_bias.relative_position_bias_table
    with torch.no_grad():
        table.copy_(torch.randn_like(table))
    bias = method.encoder.rel_pos_bias((4, 4))[0, :, 1:, 1:]
    assert bias.shape == (3, 16, 16)
    assert torch.equal(bias[:, 0, 1], bias[:, 5, 6])
    assert not torch.equal(bias[:, 0, 1], bias[:, 1, 0])


def test_the_kept_encoder_of_simmim_says_what_the_trained_one_says():
    method = learner(small("simmim")).eval()
    for p in method.parameters():
        torch.nn.init.normal_(p, std=0.05) if p.requires_grad else None
    plain = Encoder("tiny", 64, 16, relative_positions=True).eval()
    plain.load_state_dict(method.kept())
    torch.testing.assert_close(plain(images()), method.encoder(images()))


def test_blocks_that_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="multiple"):
        learner(small("simmim", block_size=24))


# AMT


def test_amt_masks_88_throws_78_and_sees_30_of_196():
    method = learner(settings("amt", decoder_depth=1))
    masked, thrown = method.rule.split(torch.stack([torch.randperm(196) for _ in range(3)]))
    assert masked.sum(1).tolist() == [88] * 3
    assert thrown.sum(1).tolist() == [166 - 88] * 3
    assert not (masked & thrown).any()
    assert method.uniform_count == 147


def test_amt_orders_by_attention_without_replacement():
    weights = torch.tensor([[0.7, 0.2, 0.1, 0.0]]).expand(20_000, 4)
    order = amt.drawn_order(weights, noise(20_000, 4))
    assert torch.equal(order.sort(1).values, torch.arange(4).expand(20_000, 4))
    first = torch.bincount(order[:, 0], minlength=4) / 20_000
    assert first.tolist() == pytest.approx([0.7, 0.2, 0.1, 0.0], abs=0.015)
    after = order[order[:, 0] == 0, 1]  # 0.2 : 0.1 of what is left
    assert float((after == 1).float().mean()) == pytest.approx(2 / 3, abs=0.02)


def test_amt_does_not_draw_what_it_throws_away_and_draws_what_a_plain_decoder_does_without_it():
    method = learner(small("amt"))
    auto, pictures = method.autoencoder.eval(), images()
    kept = torch.tensor([[0, 5, 9], [1, 2, 15]])
    everything = torch.arange(16).expand(2, 16)
    mask = torch.ones(2, 16, dtype=torch.bool).scatter(1, kept, False)
    torch.testing.assert_close(amt.draw_some(auto, pictures, kept, everything), auto(pictures, mask, 13))
    some = torch.tensor([0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15]).expand(2, 13)
    fewer = amt.draw_some(auto, pictures, kept, some)
    assert fewer.shape == (2, 13, 768)
    turned = amt.draw_some(auto, pictures, kept, some.flip(1))  # what is drawn knows its place
    torch.testing.assert_close(turned, fewer.flip(1))


def test_amt_loss_is_that_of_masked_patches_in_plain_pixels():
    config = small("amt")
    method, batch = begun(config)
    method.eval()
    method.before_epoch(1)
    now = moment(config, 2)
    assert now.epoch == 1
    seen = {}
    draw = amt.draw_some

    def noted(network, pictures, kept, places):
        seen["predicted"] = draw(network, pictures, kept, places)
        seen.update(kept=kept, places=places)
        return seen["predicted"]

    amt.draw_some = noted
    try:
        loss = float(method(batch, now)["loss"])
    finally:
        amt.draw_some = draw
    target = objectives.patchify(method.images(batch["frame"]), 16)
    total, count = 0.0, 0
    for b in range(4):
        places = seen["places"][b].tolist()
        assert len(places) == 16 - (method.used - method.masked)
        for k, n in enumerate(places):
            if n not in seen["kept"][b].tolist():
                total += float((seen["predicted"][b, k] - target[b, n]).square().mean())
                count += 1
    assert count == 4 * method.masked
    assert loss == pytest.approx(total / count, rel=1e-5)


def test_amt_attention_is_that_of_the_class_token_in_the_last_block():
    method = learner(small("amt"))
    vit = method.autoencoder.eval()
    found = amt.class_attention(vit, images())
    kept = {}
    block = vit.blocks[-1].attn
    hook = block.qkv.register_forward_hook(lambda m, i, o: kept.setdefault("qkv", o))
    vit.encode(images())
    hook.remove()
    q, k, _ = kept["qkv"].view(2, 17, 3, 3, 64).permute(2, 0, 3, 1, 4)
    heads = (q[:, :, :1] @ k.transpose(-1, -2) / 8).softmax(-1)[:, :, 0, 1:]
    scaled = torch.stack([(h - h.min()) / (h.max() - h.min()) for h in heads.flatten(0, 1)]).view(2, 3, 16)
    torch.testing.assert_close(found, scaled.mean(1))
    assert not found.requires_grad


def test_amt_refreshes_after_the_uniform_epochs_and_every_tenth_of_the_run():
    config = small("amt", uniform_share=0.1, refresh=0.1)
    object.__setattr__(config.training, "epochs", 40)
    method, _ = begun(config)
    due = []
    for epoch in range(40):
        method.attention.zero_()
        method.before_epoch(epoch)
        if method.attention.abs().sum() > 0:
            due.append(epoch)
    assert due == list(range(4, 40, 4))


def test_amt_crops_the_attention_with_the_frame():
    """The part of a ramp that a crop sees, flipped with it."""
    ramp = torch.linspace(0.125, 0.875, 4).expand(1, 4, 4).reshape(1, 16)  # the column's middle, as a share
    box = place((40, 0, 60, 96), (96, 80), False)
    right = amt.cropped(ramp, torch.from_numpy(box)[None], (4, 4)).view(4, 4)
    assert right[0].tolist() == pytest.approx([0.53125, 0.59375, 0.65625, 0.71875], abs=1e-6)
    flipped = amt.cropped(ramp, torch.from_numpy(place((40, 0, 60, 96), (96, 80), True))[None], (4, 4)).view(4, 4)
    torch.testing.assert_close(flipped, right.flip(1))


def test_a_placed_crop_lies_where_it_says():
    frame = Frames((60, 100))[3][0]
    for seed in range(4):
        view = PlacedCrop(32)(frame, frame, np.random.default_rng(seed))
        left, top, width, height = view["place"]
        x0, x1 = sorted((round(left * 100), round((left + width) * 100)))
        y0, y1 = round(top * 60), round((top + height) * 60)
        plain = cv2.resize(frame[y0:y1, x0:x1], (32, 32), interpolation=cv2.INTER_CUBIC)
        plain = plain[:, ::-1] if width < 0 else plain
        assert np.corrcoef(view["frame"].ravel(), plain.ravel())[0, 1] > 0.8


def test_amt_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="leaves"):
        learner(small("amt", mask_ratio=0.6, throw_ratio=0.4))


# HPM


def test_hpm_masks_the_hardest_more_and_more():
    hard = torch.randn(2, 196, generator=torch.Generator().manual_seed(3))
    both = torch.stack([noise(2, 196), noise(2, 196, 1)])
    config = settings("hpm", decoder_depth=1)
    object.__setattr__(config.training, "epochs", 10)
    method = learner(config)
    for epoch, count in ((0, 7), (4, 36), (9, 73)):
        beta = method.beta(epoch)
        assert int(147 * 0.5 * (epoch + 1) / 10) == count
        mask = hardest(hard, 0.75, beta, both).masked
        assert mask.sum(1).tolist() == [147, 147]
        for row in range(2):
            top = hard[row].topk(count).indices
            assert mask[row, top].all()
    uniform = hardest(hard, 0.75, 0.0, both).masked
    assert torch.equal(uniform, torch.zeros_like(uniform).scatter(1, both[0].topk(147, largest=False).indices, True))


def test_ranking_loss_by_a_plain_loop():
    predicted, true = torch.randn(2, 6), torch.tensor([[3.0, 1, 2, 2, 9, 9], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    mask = torch.tensor([[True, True, True, True, False, False], [True, False, True, False, True, True]])
    predicted.requires_grad_()
    true.requires_grad_()
    total, pairs = 0.0, 0
    for b in range(2):
        chosen = mask[b].nonzero().flatten().tolist()
        for i in chosen:
            for j in chosen:
                if i == j:
                    continue
                pairs += 1
                s = torch.sigmoid(predicted[b, i] - predicted[b, j])
                if true[b, i] > true[b, j]:
                    total -= float(torch.log(s))
                elif true[b, i] < true[b, j]:
                    total -= float(torch.log(1 - s))
    masked = torch.stack([row.nonzero().flatten() for row in mask])
    loss = losses.ranking_loss(predicted, true, masked)
    assert float(loss) == pytest.approx(total / pairs, rel=1e-5)
    loss.backward()
    assert true.grad is None
    assert predicted.grad[~mask].abs().sum() == 0


def test_hpm_copy_is_asked_about_the_whole_frame_and_follows_slowly():
    config = small("hpm", ema_start=0.9, ema_end=0.99, ema_epochs=1)
    method, batch = begun(config)
    pictures = method.images(batch["frame"])
    first = method.predicted_by_copy(pictures)
    assert first.shape == (4, 16)
    pictures[:, :, 63, 63] += 5  # every pixel counts
    assert not torch.equal(method.predicted_by_copy(pictures), first)
    before = method.slow.blocks[0].mlp.fc1.weight.clone()
    with torch.no_grad():
        method.autoencoder.blocks[0].mlp.fc1.weight.add_(1.0)
    method.after_step(moment(config, 0, 4))  # half an epoch of two has passed: halfway between 0.9 and 0.99
    torch.testing.assert_close(method.slow.blocks[0].mlp.fc1.weight, before + (1 - 0.945))
    method.after_step(moment(config, 3, 4))  # beyond `ema_epochs`
    torch.testing.assert_close(
        method.slow.blocks[0].mlp.fc1.weight, 0.99 * (before + 0.055) + 0.01 * (before + 1.0), atol=1e-6, rtol=1e-5
    )


def test_hpm_loss_is_reconstruction_plus_ranking():
    config = small("hpm", ranking=2.0)
    method, batch = begun(config)
    found = method(batch, moment(config))
    assert float(found["loss"]) == pytest.approx(float(found["reconstruction"] + 2 * found["ranking"]), rel=1e-6)
    found["loss"].backward()
    got = with_gradient(method)
    assert any(n.startswith("hardness.") for n in got)
    assert not any(n.startswith("slow") for n in got)


# DeblurringMIM


def test_deblurring_sees_the_blurred_crop_of_its_sharp_target():
    frame = Frames()[2][0]
    view = BlurredCrop(96, 1.1)(frame, frame, np.random.default_rng(5))
    blurred = cv2.GaussianBlur(frame, (0, 0), 1.1)
    both = BlurredCrop(96, 1.1)(blurred, blurred, np.random.default_rng(5))
    assert np.array_equal(view["frame"], both["target"])  # blurred first, at the frame's own size, then cut
    assert view["target"].astype(float).std() > view["frame"].astype(float).std()


def test_deblurring_loss_is_over_all_patches_in_plain_pixels():
    config = small("deblurring")
    method, batch = begun(config)
    seen = {}
    method.autoencoder.register_forward_hook(lambda m, i, o: seen.update(mask=i[1], drawn=o))
    loss = method(batch, moment(config))["loss"]
    target = objectives.patchify(method.images(batch["target"]), 16)
    assert float(loss) == pytest.approx(float(F.mse_loss(seen["drawn"], target)), rel=1e-6)
    assert seen["mask"].sum(1).tolist() == [12] * 4
    assert not torch.equal(batch["frame"], batch["target"])


# CrossMAE


def test_crossmae_draws_49_of_147_from_49_seen_and_learns_a_third_as_fast():
    method = learner(settings("crossmae", decoder_width=32, decoder_heads=2))
    kept, wanted = method.split(noise(3, 196))
    assert kept.shape == wanted.shape == (3, 49)
    for row in range(3):
        assert not set(kept[row].tolist()) & set(wanted[row].tolist())
    assert method.rate_scale == pytest.approx(1 / 3)
    assert len(method.decoder.blocks) == 12
    assert method.decoder.mix.weight.shape == (12, 13)
    assert method.decoder.mix.bias is None
    assert float(learner(settings("crossmae")).decoder.mix.weight.detach().std()) == pytest.approx(13**-0.5, rel=0.15)


def test_crossmae_queries_never_see_each_other_and_see_what_is_kept():
    method = learner(small("crossmae")).eval()
    levels_, wanted = method.levels(images(), torch.tensor([[0, 1], [2, 3]])), torch.tensor([[5, 6, 7], [8, 9, 10]])
    assert len(levels_) == 13
    drawn = method.decoder(levels_, wanted)
    torch.testing.assert_close(method.decoder(levels_, wanted[:, :1]), drawn[:, :1])
    levels_[7] = levels_[7] + 1
    assert not torch.equal(method.decoder(levels_, wanted), drawn)


def test_crossmae_loss_by_hand_and_no_gradient_for_the_last_norm():
    config = small("crossmae")
    method, batch = begun(config)
    now = moment(config)
    pictures = method.images(batch["frame"])
    kept, wanted = method.split(now.noise(16, "cpu")[0])
    drawn = method.decoder(method.levels(pictures, kept), wanted)
    target, _, _ = objectives.normalised_patches(pictures, 16)
    total = [F.mse_loss(drawn[b, k], target[b, n]) for b in range(4) for k, n in enumerate(wanted[b].tolist())]
    loss = method(batch, now)["loss"]
    assert float(loss) == pytest.approx(float(torch.stack(total).mean()), rel=1e-5)
    loss.backward()
    assert not method.encoder.norm.weight.requires_grad
    assert {n for n, p in method.named_parameters() if p.requires_grad} == with_gradient(method)


def test_more_predicted_than_masked_is_refused():
    with pytest.raises(ConfigError, match="predict_ratio"):
        learner(small("crossmae", mask_ratio=0.2, predict_ratio=0.5))


def test_levels_are_brightness_contrast_and_gamma():
    view = np.array([[51, 102], [153, 204]], np.uint8)
    assert levels(view, 1 / 3, 1.0).tolist() == [[17, 34], [51, 68]]
    assert levels(view, 1.0, 0.0).tolist() == [[128, 128], [128, 128]]
    assert levels(view, 1.0, 1.0, 2.0).tolist() == [[10, 41], [92, 163]]


def test_a_copy_of_amt_has_no_copy_of_the_frames():
    """The average of the weights is such a copy, and a hundred thousand frames are not weights."""

    class Many(Frames):
        def __deepcopy__(self, memo):
            raise AssertionError("the frames were copied")

    config = small("amt")
    method = learner(config)
    method.begin(Many(), None)
    assert copy.deepcopy(method).attention.shape == method.attention.shape

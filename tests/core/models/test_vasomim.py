"""The pretraining model: S is frozen for good, gradients go where they should, the losses are those of the paper."""

from __future__ import annotations

import pytest
import torch

from vasomim_core.models import objectives
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.segmentation_loss import SegmentationLoss
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import VasoMIM


@pytest.fixture
def parts():
    torch.manual_seed(0)
    segmentor = UNeXt()
    for module in segmentor.modules():  # running statistics that differ from fresh ones
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return MaskedAutoencoder("tiny", 64, 16, 64, 1, 4), segmentor


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 3, 64, 64, generator=generator)
    anatomy = torch.rand(3, 64, 64, generator=generator) > 0.9
    return images, anatomy, torch.rand(2, 3, 16, generator=generator)


def test_segmentor_is_unchanged_by_construction_training_mode_and_steps(parts, batch):
    autoencoder, segmentor = parts
    before = {k: v.clone() for k, v in segmentor.state_dict().items()}
    model = VasoMIM(autoencoder, segmentor).train()
    assert model.training
    assert model.autoencoder.training
    assert not any(m.training for m in model.segmentor.modules())
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        model(*batch, 0.3).loss.backward()
        optimiser.step()
    assert all(torch.equal(v, before[k]) for k, v in model.segmentor.state_dict().items())
    assert all(p.grad is None for p in model.segmentor.parameters())


def test_the_consistency_gradient_reaches_the_reconstruction(parts, batch):
    """L_cons alone moves what the decoder draws, also in visible patches."""
    images, _, _ = batch
    _, segmentor = parts
    segmentor.eval().requires_grad_(False)
    target, mean, std = objectives.normalised_patches(images, 16)
    predicted = torch.zeros_like(target, requires_grad=True)
    drawn = objectives.reassemble(predicted, mean, std, 16, images.shape[-2:])
    objectives.consistency_loss(segmentor(drawn), segmentor(images)).backward()
    assert (predicted.grad.abs().sum(dim=(0, 2)) > 0).all()


def test_loss_is_the_sum_of_its_terms(parts, batch):
    model = VasoMIM(*parts, consistency_weight=2.0).eval()
    losses = model(*batch, 0.3)
    torch.testing.assert_close(losses.loss, losses.reconstruction + 2 * losses.consistency)
    assert losses.consistency > 0
    plain = VasoMIM(parts[0], None, 0.75, "uniform").eval()(*batch, 0.3)
    torch.testing.assert_close(plain.loss, plain.reconstruction)
    assert plain.consistency == 0


def test_reconstruction_counts_masked_patches_only():
    target = torch.zeros(1, 4, 12)
    predicted = torch.stack([torch.full((12,), v) for v in (1.0, 2.0, 3.0, 4.0)])[None]
    mask = torch.tensor([[False, True, False, True]])
    assert objectives.reconstruction_loss(predicted, target, mask) == pytest.approx((4 + 16) / 2)


def test_patches_go_out_and_back():
    images = torch.rand(2, 3, 32, 48)
    assert torch.equal(objectives.unpatchify(objectives.patchify(images, 16), 16, (32, 48)), images)
    target, mean, std = objectives.normalised_patches(images, 16)
    torch.testing.assert_close(objectives.reassemble(target, mean, std, 16, (32, 48)), images)
    torch.testing.assert_close(target.mean(-1), torch.zeros(2, 6), atol=1e-5, rtol=0)


def test_perfect_reconstruction_has_the_least_consistency_loss(parts, batch):
    images, _, _ = batch
    segmentor = parts[1].eval()
    logits = segmentor(images)
    best = objectives.consistency_loss(logits, logits)
    assert best < objectives.consistency_loss(segmentor(images + torch.randn_like(images)), logits)
    entropy = torch.distributions.Bernoulli(logits=logits).entropy().mean()
    torch.testing.assert_close(best, entropy)


def test_co_guidance_uses_what_the_segmentor_sees(parts):
    model = VasoMIM(*parts, co_guidance=True, mask_ratio=0.25).eval()
    anatomy = torch.zeros(1, 64, 64, dtype=torch.bool)
    view = torch.full((1, 1, 64, 64), -100.0)
    view[..., :16, :] = 100.0  # S sees vessels in the first row of patches
    mask = model.sample_masks(anatomy, view, torch.rand(2, 1, 16), 1.0)
    assert mask[0].nonzero()[:, 0].tolist() == [0, 1, 2, 3]


def test_segmentation_loss_is_half_bce_half_dice():
    truth = (torch.rand(2, 1, 16, 16) > 0.7).float()
    logits = torch.randn(2, 1, 16, 16)
    p = torch.sigmoid(logits)
    dice = (2 * (p * truth).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)
    bce = torch.nn.functional.binary_cross_entropy(p, truth)
    torch.testing.assert_close(SegmentationLoss()(logits, truth[:, 0].byte()), 0.5 * bce + 0.5 * (1 - dice).mean())

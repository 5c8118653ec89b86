"""The terms of the losses, number by number."""

from __future__ import annotations

import pytest
import torch

from vasomim_core.models import objectives
from vasomim_core.models.segmentation_loss import SegmentationLoss


def test_patches_are_in_row_major_order_with_channels_last():
    images = torch.arange(2 * 2 * 4 * 6).reshape(2, 2, 4, 6)
    patches = objectives.patchify(images, 2)
    assert patches.shape == (2, 6, 8)
    expected = [images[1, c, y, x].item() for y in (2, 3) for x in (2, 3) for c in (0, 1)]
    assert patches[1, 4].tolist() == expected
    assert torch.equal(objectives.unpatchify(patches, 2, (4, 6)), images)


def test_the_deviation_of_a_patch_is_the_root_of_its_variance_and_a_millionth():
    images = torch.full((1, 1, 2, 4), 7.0)
    images[..., 2:] = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    target, mean, std = objectives.normalised_patches(images, 2)
    assert (target.dtype, target.shape, mean.shape, std.shape) == (torch.float32, (1, 2, 4), (1, 2, 1), (1, 2, 1))
    assert mean.flatten().tolist() == [7, 1]
    torch.testing.assert_close(std.flatten(), torch.tensor([1e-3, (4 / 3) ** 0.5]))  # the sample's variance
    assert target[0, 0].tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(objectives.reassemble(target, mean, std, 2, (2, 4)), images)


def test_where_nothing_is_masked_nothing_is_lost():
    predicted, target = torch.ones(1, 4, 12), torch.zeros(1, 4, 12)
    assert objectives.reconstruction_loss(predicted, target, torch.zeros(1, 4, dtype=torch.bool)) == 0
    one = torch.tensor([[True, False, False, False]])
    assert objectives.reconstruction_loss(3 * predicted, target, one) == 9


def test_the_target_of_consistency_has_no_gradient():
    drawn, seen = (torch.tensor([0.5, -2.0], requires_grad=True) for _ in range(2))
    objectives.consistency_loss(drawn + 1, seen).backward()
    assert seen.grad is None
    torch.testing.assert_close(drawn.grad, (torch.sigmoid(drawn + 1) - torch.sigmoid(seen)).detach() / 2)


@pytest.fixture
def pair():
    """Logits and truth of two frames, a thick vessel in each: its skeleton needs all five erosions."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    truth = torch.stack([(rows - 16).abs() <= 7, (columns - 12).abs() <= 2]).float()[:, None]
    return 1.5 * torch.sin(rows * 0.7 + columns * 0.3)[None, None] + 2 * truth - 1, truth


def test_the_loss_of_a_segmentation_is_the_sum_of_its_three_terms(pair):
    logits, truth = pair
    p = torch.sigmoid(logits)
    bce = torch.nn.functional.binary_cross_entropy(p, truth)
    dice = 1 - ((2 * (p * truth).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)).mean()

    def loss(logits, truth, dice_weight=0.5, cldice_weight=0.0):
        return SegmentationLoss(dice_weight=dice_weight, cldice_weight=cldice_weight)(logits, truth[:, 0].byte())

    torch.testing.assert_close(loss(logits, truth), 0.5 * bce + 0.5 * dice)
    torch.testing.assert_close(loss(logits, truth, 0.2), 0.8 * bce + 0.2 * dice)
    torch.testing.assert_close(loss(logits.double(), truth > 0, 1.0), dice)
    cldice = loss(logits, truth, 0.2, 1.0) - loss(logits, truth, 0.2)
    torch.testing.assert_close(loss(logits, truth, 0.2, 3.0) - loss(logits, truth, 0.2), 3 * cldice)
    assert cldice.item() == pytest.approx(CLDICE, abs=2e-5)


CLDICE = 0.460767
"""With skeletons of five erosions; of four or six it is another number."""

"""The loss of a segmentation model: what it prefers."""

from __future__ import annotations

import pytest
import torch

from vasomim_core.models.segmentation_loss import SegmentationLoss


def segmentation_loss(logits, truth, dice_weight, cldice_weight):
    return SegmentationLoss(dice_weight=dice_weight, cldice_weight=cldice_weight)(logits, truth[:, 0].byte())


def logits_of(mask: torch.Tensor) -> torch.Tensor:
    return (mask * 2 - 1) * 12.0


@pytest.fixture
def truth() -> torch.Tensor:
    """A vessel 5 px wide across a frame."""
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 30:35, 4:60] = 1
    return mask


@pytest.mark.parametrize("cldice_weight", [0.0, 1.0])
def test_the_truth_costs_nothing_and_its_inverse_most(truth, cldice_weight):
    right = segmentation_loss(logits_of(truth), truth, 0.5, cldice_weight)
    wrong = segmentation_loss(logits_of(1 - truth), truth, 0.5, cldice_weight)
    assert right < 0.01
    assert wrong > 5


def test_cldice_minds_a_gap_more_than_as_many_pixels_off_the_border(truth):
    gap, thin = truth.clone(), truth.clone()
    gap[..., 28:32] = 0  # 4 columns × 5 px
    thin[..., 30, 4:24] = 0  # 20 px of the upper border
    assert (truth - gap).sum() == (truth - thin).sum()

    def difference(cldice_weight: float) -> float:
        return float(
            segmentation_loss(logits_of(gap), truth, 0.5, cldice_weight)
            - segmentation_loss(logits_of(thin), truth, 0.5, cldice_weight)
        )

    assert difference(0.0) == pytest.approx(0, abs=1e-5)
    assert difference(1.0) > 0.01


def test_soft_cldice_has_a_gradient_everywhere_near_the_vessel(truth):
    logits = torch.zeros_like(truth, requires_grad=True)
    segmentation_loss(logits, truth, 0.5, 1.0).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[truth > 0] < 0).all()

"""The loss of labels that say of a pixel what it may be, against a plain loop over pixels."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceCELoss

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.data import codes as code
from vasomim_core.data.codes import terms
from vasomim_core.models.segmentation_loss import SegmentationLoss

CLASSES = (LabelClass(1, "main"), LabelClass(2, "other"), LabelClass(5, "catheter", vessel=False))
ALL = [0, 1, 2, 5, code.NO_VESSEL, code.SOME_VESSEL, code.LIKELY, code.BESIDE, code.DOUBTFUL, code.UNKNOWN]


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 2


def by_hand(logits: torch.Tensor, codes: torch.Tensor, labelled: list[int] | None) -> float:
    """Cross-entropy, pixel by pixel."""
    p, meaning, total = logits.softmax(1), terms(CLASSES, labelled), 0.0
    for b, row, column in torch.cartesian_prod(*(torch.arange(n) for n in codes.shape)).tolist():
        for term in meaning.get(int(codes[b, row, column]), ()):
            together = sum(float(p[b, channel, row, column]) for channel in term.channels)
            total -= term.weight * math.log(together)
    return total / codes.numel()


@pytest.mark.parametrize("labelled", [None, [1]])
def test_cross_entropy_is_that_of_the_classes_that_a_pixel_may_have(logits, labelled):
    luck = torch.Generator().manual_seed(1)
    codes = torch.tensor(ALL, dtype=torch.uint8)[torch.randint(len(ALL), (2, 5, 6), generator=luck)]
    loss = SegmentationLoss(CLASSES, terms(CLASSES, labelled), dice_weight=0.0)(logits, codes)
    assert float(loss) == pytest.approx(by_hand(logits, codes, labelled), rel=1e-5)


def test_finer_labels_count_by_their_share(logits):
    fine = torch.zeros(2, 10, 12, dtype=torch.uint8)
    fine[:, ::2] = 1  # half of each pixel
    loss = SegmentationLoss(CLASSES, dice_weight=0.0)
    halves = (loss(logits, torch.zeros(2, 5, 6)) + loss(logits, torch.ones(2, 5, 6))) / 2
    torch.testing.assert_close(loss(logits, fine), halves)


def test_complete_labels_of_one_class_give_monais_dice_and_cross_entropy():
    luck = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 1, 8, 8, generator=luck)
    truth = torch.randint(0, 2, (3, 8, 8), generator=luck)
    monai = DiceCELoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)(logits, truth[:, None].float())
    torch.testing.assert_close(2 * SegmentationLoss(VESSEL)(logits, truth.byte()), monai)


def dice_of(p: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> float:
    return float(1 - (2 * (p * truth).sum() + 1) / ((p * known).sum() + truth.sum() + 1))


def test_dice_is_that_of_vessel_and_of_each_labelled_class_without_what_is_not_known(logits):
    codes = torch.full((2, 5, 6), code.NO_VESSEL, dtype=torch.uint8)
    codes[0, 0] = 1
    codes[0, 1] = code.LIKELY
    codes[0, 2] = code.DOUBTFUL
    codes[1, 3] = code.SOME_VESSEL
    codes[1, 4] = 5
    p = logits.softmax(1)
    main, vessel, catheter = p[:, 1], p[:, 1] + p[:, 2], p[:, 3]
    one, few = torch.ones(5, 6), torch.ones(5, 6)
    few[1:3] = 0  # likely and doubtful: vessel or not is not known
    rows = [torch.zeros(5, 6) for _ in range(5)]
    for n, row in enumerate(rows):
        row[n] = 1
    terms_of_dice = [
        dice_of(vessel[0], rows[0], few),
        dice_of(main[0], rows[0], one),  # neither is main
        dice_of(vessel[1], rows[3], one),
        # main in the second frame: there is none that is known to be, so it says nothing
        dice_of(catheter[1], rows[4], rows[3] + rows[4]),  # what is no vessel may be a catheter
    ]
    loss = SegmentationLoss(CLASSES, terms(CLASSES, [1]), dice_weight=1.0)(logits, codes)
    assert float(loss) == pytest.approx(sum(terms_of_dice) / 4, rel=1e-5)


def test_an_empty_frame_that_is_wholly_known_says_that_there_is_no_vessel():
    """As MONAI's; one of which a part is not known says nothing."""
    logits = torch.zeros(1, 1, 4, 4)
    loss = SegmentationLoss(VESSEL, dice_weight=1.0)
    codes = torch.zeros(1, 4, 4, dtype=torch.uint8)
    assert float(loss(logits, codes)) == pytest.approx(1 - 1 / 9)
    codes[0, 0, 0] = code.UNKNOWN
    assert float(loss(logits, codes)) == 0


def test_what_is_not_known_has_no_gradient(logits):
    logits.requires_grad_(True)
    codes = torch.full((2, 5, 6), code.UNKNOWN, dtype=torch.uint8)
    codes[:, 0] = 1
    SegmentationLoss(CLASSES)(logits, codes).backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, 1:].any()
    assert logits.grad[:, :, 0].any()


def test_cldice_looks_at_vessel_of_whatever_class(logits):
    codes = torch.zeros(2, 5, 6, dtype=torch.uint8)
    codes[:, 2] = 1
    other = torch.where(codes == 1, torch.tensor(2, dtype=torch.uint8), codes)
    extra = [
        float(
            SegmentationLoss(CLASSES, dice_weight=0.0, cldice_weight=2.0)(logits, c)
            - SegmentationLoss(CLASSES, dice_weight=0.0)(logits, c)
        )
        for c in (codes, other)
    ]
    assert extra[0] > 0
    assert extra[0] == pytest.approx(extra[1], rel=1e-4)

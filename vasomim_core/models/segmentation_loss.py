"""What finetuning minimises, also where labels say of a pixel only what it may be: cross-entropy, Dice, soft clDice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.data.codes import Term, terms
from vasomim_core.models.outputs import log_probabilities

SKELETON_STEPS = 5  # erosions, one pixel each: half the width of the thickest vessel at 256 px
SURE = 0.5
"""Weight from which a term counts as known to Dice."""


class SegmentationLoss(nn.Module):
    """(1 − w)·CE + w·(1 − Dice) + v·(1 − soft clDice), in float32.

    CE is −Σ weight · log P(the classes that a pixel may have), the mean over pixels; with one class and complete labels
    it is binary cross-entropy. Dice is that of vessel, of whatever class, in each frame where all is known or vessel is
    labelled, and that of each class in the frames where it is labelled; pixels of which it is not known are left out,
    1 is added above and below the line, as MONAI does. Soft clDice (Shit et al. 2021, by MONAI) compares centrelines of
    vessel.

    Args:
        classes: of the network, in the order of its outputs.
        meaning: what each code says, see `codes.terms`; None = each class value itself.
        dice_weight: w in [0, 1].
        cldice_weight: v ≥ 0; 0 spares its time.
    """

    def __init__(
        self,
        classes: Sequence[LabelClass] = VESSEL,
        meaning: Mapping[int, Sequence[Term]] | None = None,
        dice_weight: float = 0.5,
        cldice_weight: float = 0.0,
    ):
        super().__init__()
        meaning = terms(classes) if meaning is None else meaning
        self.dice_weight, self.cldice_weight = dice_weight, cldice_weight
        self.sets = sorted({term.channels for of_code in meaning.values() for term in of_code})
        vessel = tuple(k for k, one in enumerate(classes, 1) if one.vessel)
        self.regions = [vessel, *((k,) for k in range(1, 1 + len(classes)) if (k,) != vessel)]
        weights = torch.zeros(256, len(self.sets))
        inside, known = torch.zeros(256, len(self.regions)), torch.zeros(256, len(self.regions))
        for code, of_code in meaning.items():
            for term in of_code:
                weights[code, self.sets.index(term.channels)] += term.weight
                if term.weight >= SURE:
                    for r, region in enumerate(self.regions):
                        within = set(term.channels) <= set(region)
                        inside[code, r] = max(float(inside[code, r]), float(within))
                        settled = within or set(term.channels).isdisjoint(region)
                        known[code, r] = max(float(known[code, r]), float(settled))
        self.tables: Tensor
        self.register_buffer("tables", torch.cat([weights, inside, known], dim=1), persistent=False)

    def forward(self, logits: Tensor, codes: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            logits: (B, outputs, H, W).
            codes: uint8 (B, f·H, f·W), f = 1, 2, …: labels at f times the resolution, of which each pixel takes its
                share.
        """
        log_p = log_probabilities(logits)
        detail = codes.shape[-1] // logits.shape[-1]
        parts = [len(self.sets), len(self.regions), len(self.regions)]
        weights, inside, known = _shares(self.tables, codes.long(), detail).split(parts, dim=1)
        together = torch.stack([_logsum(log_p, channels) for channels in self.sets], dim=1)
        loss = -(weights * together).sum(dim=1).mean() * (1 - self.dice_weight)
        if not (self.dice_weight or self.cldice_weight):
            return loss
        p = torch.stack([_logsum(log_p, region).exp() for region in self.regions], dim=1)
        if self.dice_weight:
            loss = loss + self.dice_weight * _dice(p, inside, known)
        if self.cldice_weight:
            from monai.losses import SoftclDiceLoss

            line = SoftclDiceLoss(iter_=SKELETON_STEPS)(p[:, :1] * known[:, :1], inside[:, :1])
            loss = loss + self.cldice_weight * line
        return loss


def _dice(p: Tensor, inside: Tensor, known: Tensor) -> Tensor:
    """1 − Dice, the mean over frames and regions in which it says something; all (B, R, H, W)."""
    both, either = (p * inside).sum((2, 3)), (p * known).sum((2, 3)) + inside.sum((2, 3))
    says = inside.sum((2, 3)) > 0
    says[:, 0] |= (known[:, 0] == 1).flatten(1).all(dim=1)
    return ((1 - (2 * both + 1) / (either + 1)) * says).sum() / says.sum().clamp(min=1)


def _shares(table: Tensor, codes: Tensor, detail: int) -> Tensor:
    """Look up codes (B, f·H, f·W) in a table (256, N) and average over the f × f of each pixel: (B, N, H, W)."""
    found = table[codes].movedim(-1, 1)
    return F.avg_pool2d(found, detail) if detail > 1 else found


def _logsum(log_p: Tensor, channels: tuple[int, ...]) -> Tensor:
    return log_p[:, channels[0]] if len(channels) == 1 else torch.logsumexp(log_p[:, list(channels)], dim=1)

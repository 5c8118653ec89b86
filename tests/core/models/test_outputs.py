"""What the outputs of a network mean."""

from __future__ import annotations

import torch

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.models.outputs import log_probabilities, outputs_of, probabilities

THREE = tuple(LabelClass(n, f"c{n}") for n in (1, 2, 3))


def test_one_class_has_one_logit_and_several_have_one_more():
    assert (outputs_of(VESSEL), outputs_of(THREE)) == (1, 4)


def test_one_logit_is_a_logistic_function():
    z = torch.randn(2, 1, 4, 4) * 5
    torch.testing.assert_close(probabilities(z), torch.sigmoid(z))
    both = log_probabilities(z)
    torch.testing.assert_close(both.exp(), torch.cat([1 - torch.sigmoid(z), torch.sigmoid(z)], dim=1))


def test_several_are_a_softmax_with_the_background_first():
    z = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(probabilities(z), z.softmax(1)[:, 1:])
    torch.testing.assert_close(log_probabilities(z).exp().sum(1), torch.ones(2, 3, 3))
    torch.testing.assert_close(log_probabilities(z)[:, 1:].exp(), probabilities(z))


def test_far_logits_stay_finite_and_half_precision_is_widened():
    z = torch.tensor([-300.0, 300.0], dtype=torch.bfloat16).view(1, 1, 1, 2)
    assert torch.isfinite(log_probabilities(z)).all()
    assert log_probabilities(z).dtype == probabilities(z).dtype == torch.float32

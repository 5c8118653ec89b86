"""What of a prediction is shown: by threshold, of which vessels, without which classes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vasomim.prediction import Prediction
from vasomim_core.classes import LabelClass
from vasomim_core.models.class_mask import ClassRules, Probabilities

pytestmark = pytest.mark.once  # what is tested here knows no Qt

CLASSES = (LabelClass(1, "main branch"), LabelClass(4, "other branch"), LabelClass(6, "catheter", vessel=False))
RULES = ClassRules(CLASSES, {"main branch": 0.6})


@pytest.fixture
def planes() -> np.ndarray:
    rng = np.random.default_rng(0)
    parts = rng.dirichlet((1, 1, 1, 1), (40, 50)).astype(np.float32)
    return np.moveaxis(parts, -1, 0)[:3]


@pytest.fixture
def prediction(planes) -> Prediction:
    found = Prediction("m", (2, 40, 50), thresholds={"every": 0.4, "main": 0.6}, rules=RULES)
    found.keep(1, planes[0] + planes[1], 0.3, planes)
    return found


def test_all_classes_are_those_of_the_rules_up_to_the_levels_that_are_kept(prediction, planes):
    exact = RULES.mask(Probabilities(planes[0] + planes[1], planes), 0.4)
    assert (prediction.class_mask(1) == exact).mean() > 0.98
    assert set(np.unique(prediction.class_mask(1))) == {0, 1, 4, 6}
    np.testing.assert_array_equal(prediction.mask(1), np.isin(prediction.class_mask(1), (1, 4)))


def test_the_vessels_are_the_levels_from_the_threshold_on(prediction):
    for threshold in (0.02, 0.3, 0.5, 0.98):
        prediction.threshold = threshold
        levels = np.rint(prediction.probability(1) * 255)
        np.testing.assert_array_equal(prediction.mask(1), levels >= max(1, round(threshold * 255)))


def test_main_branches_alone_have_their_own_threshold_and_probability(prediction, planes):
    prediction.vessels = "main"
    assert prediction.threshold == 0.6
    np.testing.assert_allclose(prediction.probability(1), planes[0], atol=1 / 255)
    assert set(np.unique(prediction.class_mask(1))) == {0, 1}
    before = prediction.mask(1).sum()
    prediction.threshold = 0.3
    assert prediction.mask(1).sum() > before
    prediction.vessels = "every"
    assert prediction.threshold == 0.4


def test_a_hidden_class_is_neither_shown_nor_taken(prediction):
    shown = prediction.class_mask(1)
    prediction.hidden = frozenset({"other branch", "of another model"})
    np.testing.assert_array_equal(prediction.class_mask(1), np.where(shown == 4, 0, shown))
    assert not prediction.mask(1)[shown == 4].any()


def test_a_model_of_vessel_alone_shows_vessel_whatever_is_asked_for():
    found = Prediction("m", (1, 3, 4), vessels="main", hidden=frozenset({"catheter"}))
    probability = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    found.keep(0, probability, 0.1, probability[None])
    assert found.seen == "every"
    np.testing.assert_array_equal(found.mask(0), probability >= 0.5)
    np.testing.assert_allclose(found.probability(0), probability, atol=1 / 255)

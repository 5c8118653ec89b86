"""From probabilities of classes to the class of each pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vasomim_core.classes import VESSEL, LabelClass, vessel_of
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.class_mask import ClassRules, Probabilities, class_mask, without_specks
from vasomim_core.models.prediction import Model, predict

CLASSES = (LabelClass(1, "main branch"), LabelClass(4, "other"), LabelClass(6, "catheter", vessel=False))


def of(*pixels: tuple[float, float, float]) -> Probabilities:
    """A frame of one row."""
    classes = np.array(pixels, np.float32).T[:, None]
    return Probabilities(vessel=classes[0] + classes[1], classes=classes)


def test_the_likeliest_vessel_class_takes_what_is_vessel():
    found = of((0.3, 0.2, 0.1), (0.2, 0.3, 0.1), (0.2, 0.25, 0.1), (0.05, 0.05, 0.8), (0.05, 0.05, 0.4))
    assert class_mask(found, CLASSES, 0.5).tolist() == [[1, 4, 0, 6, 0]]


def test_a_class_with_a_threshold_of_its_own_comes_first():
    found = of((0.42, 0.5, 0.0), (0.38, 0.5, 0.0), (0.42, 0.0, 0.5), (0.3, 0.3, 0.35), (0.1, 0.1, 0.35))
    drawn = class_mask(found, CLASSES, 0.6, {"main branch": 0.4, "catheter": 0.3})
    assert drawn.tolist() == [[1, 4, 6, 1, 6]]  # the fourth is no less of a main branch than of another


def test_where_all_vessel_classes_have_thresholds_what_is_left_is_of_the_likeliest():
    drawn = class_mask(of((0.3, 0.35, 0.0), (0.1, 0.1, 0.0)), CLASSES, 0.6, {"main branch": 0.9, "other": 0.9})
    assert drawn.tolist() == [[4, 0]]


@given(st.lists(st.tuples(*[st.floats(0, 0.33)] * 3), min_size=1, max_size=20), st.floats(0.01, 0.99))
def test_vessel_is_what_reaches_the_threshold_whatever_the_class(pixels, threshold):
    found = of(*pixels)
    for own in ({}, {"main branch": 0.1, "catheter": 0.05}):
        drawn = class_mask(found, CLASSES, threshold, own)
        np.testing.assert_array_equal(vessel_of(drawn, CLASSES), found.vessel >= threshold)


def test_one_class_is_its_threshold():
    p = np.array([[0.2, 0.5, 0.7]], np.float32)
    assert class_mask(Probabilities(p, p[None]), VESSEL, 0.5).tolist() == [[0, 1, 1]]


class Bands(nn.Module):
    """Logits that depend on the column alone: background, main, other, catheter, from left to right."""

    def forward(self, x):
        columns = torch.arange(x.shape[-1]) * 4 // x.shape[-1]
        return 4.0 * torch.nn.functional.one_hot(columns, 4).T[None, :, None].float().expand(-1, -1, x.shape[-2], -1)


def test_probabilities_of_classes_come_at_the_frames_size_and_add_up():
    frame = np.zeros((40, 90), np.uint8)
    found = predict(Bands(), Preprocessing(frame_size=64), frame, classes=CLASSES)
    assert found.classes.shape == (3, 40, 90)
    np.testing.assert_allclose(found.vessel, found.classes[:2].sum(axis=0), atol=1e-6)
    drawn = class_mask(found, CLASSES, 0.5)
    assert [int(drawn[20, column]) for column in (5, 35, 55, 85)] == [0, 1, 4, 6]


def test_mirrored_bands_are_averaged_with_their_mirror_image():
    frame = np.zeros((32, 64), np.uint8)
    found = predict(Bands(), Preprocessing(mirrored=True), frame, classes=CLASSES)
    np.testing.assert_allclose(found.classes, found.classes[:, :, ::-1], atol=1e-6)


def test_calibration_moves_vessel_and_shares_it_out_as_before():
    frame = np.zeros((32, 64), np.uint8)
    plain = predict(Bands(), Preprocessing(), frame, classes=CLASSES)
    moved = predict(Bands(), Preprocessing(calibration=(1.0, -2.0)), frame, classes=CLASSES)
    odds = plain.vessel / (1 - plain.vessel) * np.exp(-2)
    np.testing.assert_allclose(moved.vessel, odds / (1 + odds), rtol=1e-4)
    np.testing.assert_allclose(moved.classes[:2].sum(axis=0), moved.vessel, rtol=1e-5)
    np.testing.assert_allclose(moved.classes[0] / moved.classes[1], plain.classes[0] / plain.classes[1], rtol=1e-4)
    np.testing.assert_allclose(moved.classes[2] / (1 - moved.vessel), plain.classes[2] / (1 - plain.vessel), rtol=1e-4)


@pytest.mark.parametrize("threshold", [None, 0.05])
def test_a_model_takes_thresholds_from_its_card_unless_one_is_given(threshold):
    card = Card(
        "segmentation model",
        "unet",
        {"outputs": 4},
        Preprocessing(threshold=0.99, class_thresholds={"catheter": 0.99}),
        classes=CLASSES,
    )
    model = Model("bands", Bands(), card, torch.device("cpu"))
    found = model.predict_classes(np.zeros((32, 64), np.uint8))
    drawn = model.class_mask(found) if threshold is None else model.class_mask(found, threshold)
    expected = [0, 0, 0, 0] if threshold is None else [0, 1, 4, 0]
    assert [int(drawn[20, column]) for column in (5, 22, 40, 60)] == expected
    np.testing.assert_array_equal(model.predict(np.zeros((32, 64), np.uint8)), found.vessel)


def test_pieces_that_are_too_small_are_specks_whatever_their_class():
    vessel = np.zeros((20, 50), np.float32)
    vessel[2:4, 5:45] = 0.9  # 80 px
    vessel[10, 10:19] = 0.9  # 9 px
    vessel[15, 30:40] = 0.9  # 10 px, a hundredth of the frame
    classes = np.stack([vessel, 0 * vessel, 0.95 * (vessel == 0)])
    rules = ClassRules(CLASSES, least_piece=0.01)
    drawn = rules.mask(Probabilities(vessel, classes), 0.5)
    assert (drawn[2:4, 5:45] == 1).all()
    assert (drawn[15, 30:40] == 1).all()
    assert not drawn[10, 10:19].any()
    assert (drawn == 6).sum() == (vessel == 0).sum()  # a catheter may be small
    every, main = (rules.vessels(Probabilities(vessel, classes), which, 0.5)[1] for which in ("every", "main"))
    assert every.sum() == main.sum() == 90
    assert (ClassRules(CLASSES).mask(Probabilities(vessel, classes), 0.5) == 1).sum() == 99


def test_main_branches_are_a_part_of_every_vessel_at_its_own_threshold():
    found = of((0.5, 0.3, 0.0), (0.5, 0.0, 0.0), (0.7, 0.2, 0.0))
    rules = ClassRules(CLASSES, threshold=0.6)
    assert rules.vessels(found, "every", 0.6)[1].tolist() == [[True, False, True]]
    assert rules.vessels(found, "main", 0.4)[1].tolist() == [[True, False, True]]


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.2))
def test_specks_go_and_nothing_else(seed, least):
    mask = np.random.default_rng(seed).random((30, 30)) < 0.45
    kept = without_specks(mask, least)
    assert not (kept & ~mask).any()
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    for piece in range(1, count):
        stays = (pieces == piece).sum() >= least * mask.size
        assert (kept[pieces == piece] == stays).all()

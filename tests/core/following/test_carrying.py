from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from vasomim_core.errors import ConfigError, InputError, LabelError
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.following import Followed, carrying, follow, unsure

from .conftest import Run

FILLED = slice(4, 10)


def score(found: list[Followed], run: Run) -> float:
    return float(np.mean([dsc(one.mask, truth) for one, truth in zip(found[FILLED], run.masks[FILLED], strict=True)]))


def drawn(run: Run, *indices: int) -> dict[int, np.ndarray]:
    return {index: run.masks[index].astype(np.uint8) * 255 for index in indices}


@pytest.fixture(scope="module")
def from_one(run: Run) -> list[Followed]:
    return list(follow(run.frames, drawn(run, 6), run.said))


def test_every_frame_has_a_mask_and_what_was_drawn_is_as_it_was(run: Run, from_one: list[Followed]):
    assert [one.index for one in from_one] == list(range(10))
    assert [one.anchor for one in from_one] == [index == 6 for index in range(10)]
    np.testing.assert_array_equal(from_one[6].mask, run.masks[6] * np.uint8(255))
    assert (from_one[6].trust, from_one[6].reason) == (1, "")
    for one in from_one:
        assert (one.mask.dtype, one.mask.shape) == (np.uint8, (192, 192))
        assert set(np.unique(one.mask)) <= {0, 255}
        assert 0 <= one.trust <= 1


def test_it_is_better_than_the_model_and_than_a_copy(run: Run, from_one: list[Followed]):
    frames = range(*FILLED.indices(10))
    model = np.mean([max(dsc(run.said[i] > at, run.masks[i]) for at in (0.3, 0.5)) for i in frames])
    copy = np.mean([dsc(run.masks[6], run.masks[i]) for i in frames])
    assert score(from_one, run) > max(model, copy) + 0.1


def test_without_a_model_vesselness_stands_in(run: Run):
    copy = np.mean([dsc(run.masks[6], truth) for truth in run.masks[FILLED]])
    assert score(list(follow(run.frames, drawn(run, 6))), run) > copy + 0.1


def test_a_frame_between_two_anchors_is_reached_from_both(run: Run):
    """What one of them does not show, the other one does: each has one half of the tree drawn in its own class."""
    rows = np.arange(192)[:, None]
    middle = int(np.median(np.nonzero(run.masks[6])[0]))
    upper = np.where(rows < middle, run.masks[5], 0).astype(np.uint8)
    lower = np.where(rows >= middle, run.masks[7], 0).astype(np.uint8)
    both = list(follow(run.frames, {5: upper, 7: lower}))[6].mask > 0
    one = list(follow(run.frames, {5: upper}))[6].mask > 0
    part = run.masks[6] & (rows >= middle + 10)
    assert both[part].mean() > one[part].mean() + 0.2
    assert both[part].mean() > 0.4


def test_what_the_model_takes_for_vessel_on_the_anchor_is_not_believed_elsewhere(run: Run, from_one: list[Followed]):
    for i in range(5, 10):
        catheter = run.catheters[i]
        assert (run.said[i][catheter] > 0.5).mean() > 0.5
        assert (from_one[i].mask[catheter] > 0).mean() < 0.15


def test_contrast_that_has_not_come_is_seen_and_said(run: Run, from_one: list[Followed]):
    assert not run.masks[0].any()
    assert (from_one[0].mask > 0).sum() < 0.15 * run.masks[6].sum()
    assert from_one[0].trust < 0.6
    assert "contrast" in from_one[0].reason


def test_nothing_is_drawn_where_next_to_nothing_is_to_be_trusted(run: Run):
    nothing = np.full_like(run.frames[6], 120)
    frames = np.stack([run.frames[6], nothing, nothing, nothing])
    said = np.zeros(frames.shape, np.float32)
    said[0] = run.said[6]
    for one in list(follow(frames, {0: run.masks[6].astype(np.uint8)}, said))[2:]:
        assert not one.mask.any()
        assert one.trust < 0.2
        assert "contrast" in one.reason


def test_without_a_model_the_grey_levels_tell_that_contrast_has_not_come(run: Run):
    found = list(follow(run.frames, drawn(run, 6)))
    assert (found[0].mask > 0).sum() < 0.25 * run.masks[6].sum()
    assert "contrast" in found[0].reason


def test_below_the_least_trust_there_are_no_vessels(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(carrying, "LEAST", 0.95)
    found = list(follow(run.frames[5:8], {1: run.masks[6].astype(np.uint8)}, run.said[5:8]))
    assert [one.mask.any() for one in found] == [False, True, False]


def test_trust_follows_how_right_a_mask_is(run: Run, from_one: list[Followed]):
    others = [one for one in from_one if not one.anchor]
    right = [dsc(one.mask, run.masks[one.index]) for one in others]
    assert np.corrcoef(right, [one.trust for one in others])[0, 1] > 0.7


@pytest.mark.parametrize("way", [-60, 30, 60])
def test_a_table_that_was_moved_takes_the_mask_along(run: Run, way: int):
    def moved(plane: np.ndarray, around: float) -> np.ndarray:
        out = np.roll(plane, way, 1)
        out[np.s_[:, :way] if way > 0 else np.s_[:, way:]] = around
        return out

    frames = np.stack([run.frames[6], moved(run.frames[6], 128)])
    said = np.stack([run.said[6], moved(run.said[6], 0)])
    found = list(follow(frames, {0: run.masks[6].astype(np.uint8)}, said))
    assert dsc(found[1].mask, moved(run.masks[6], False)) > 0.95


def test_classes_are_carried_along(run: Run):
    """Left and right half of the tree are two classes: each stays on its side, and nothing else appears."""
    middle = int(np.median(np.nonzero(run.masks[6])[1]))
    mask = run.masks[6].astype(np.uint8)
    mask[:, middle:] *= 3
    found = list(follow(run.frames, {6: mask}, run.said))
    for one in found[FILLED]:
        assert set(np.unique(one.mask)) == {0, 1, 3}
        for value, wrong in ((1, np.s_[:, middle + 12 :]), (3, np.s_[:, : middle - 12])):
            assert (one.mask[wrong] == value).sum() < 0.1 * (one.mask == value).sum()


def test_a_catheter_is_carried_and_no_vessel(run: Run):
    mask = run.masks[6].astype(np.uint8)
    mask[run.catheters[6]] = 7
    found = list(follow(run.frames, {6: mask}, run.said, others=[7]))
    for one in found[FILLED]:
        assert dsc(one.mask == 7, run.catheters[one.index]) > 0.5
        assert not (one.mask[run.masks[one.index]] == 7).mean() > 0.1
    with pytest.raises(LabelError, match="no vessel"):
        follow(run.frames, {6: np.where(run.catheters[6], 7, 0).astype(np.uint8)}, others=[7])


def test_bad_anchors_are_said_before_any_work(run: Run):
    mask = drawn(run, 6)[6]
    with pytest.raises(ConfigError, match="at least one"):
        follow(run.frames, {})
    with pytest.raises(ConfigError, match="no frame 10"):
        follow(run.frames, {10: mask})
    with pytest.raises(LabelError, match="100×192 and the frame 192×192"):
        follow(run.frames, {6: mask[:100]})
    with pytest.raises(LabelError, match="frame 0 has no vessel"):
        follow(run.frames, {6: mask, 0: np.zeros_like(mask)})
    with pytest.raises(InputError, match="10 frames and 9"):
        follow(run.frames, {6: mask}, run.said[1:])


def swirled(plane: np.ndarray, by: float) -> np.ndarray:
    """Moved by up to so many px, back and forth from place to place, as no vessel moves."""
    y, x = np.mgrid[:192, :192].astype(np.float32)
    columns, rows = x + by * np.sin(y / 15), y + by * np.cos(x / 11)
    return cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def on_a_frame_like(run: Run, frame: np.ndarray, said: np.ndarray | None = None) -> Followed:
    """What comes of the anchor 6 on a frame, its neighbours like it."""
    q = None if said is None else np.stack([run.said[6], said, said, said])
    return list(follow(np.stack([run.frames[6], frame, frame, frame]), {0: run.masks[6].astype(np.uint8)}, q))[2]


@pytest.mark.parametrize("by_model", [True, False])
def test_the_less_contrast_is_left_the_less_is_trusted(run: Run, by_model: bool):
    empty, full = run.frames[0].astype(np.float32), run.frames[7].astype(np.float32)
    trusts = [
        on_a_frame_like(
            run, (empty + left * (full - empty)).astype(np.uint8), run.said[7] * left if by_model else None
        ).trust
        for left in (1, 0.3, 0.15, 0)
    ]
    assert all(more > less + 0.08 for more, less in pairwise(trusts))
    assert trusts[-1] < 0.3


def test_without_a_model_less_is_trusted_where_the_flow_does_not_come_back(run: Run):
    well, badly = (on_a_frame_like(run, frame).trust for frame in (run.frames[7], swirled(run.frames[7], 10)))
    assert badly < well - 0.1


def test_vessels_that_leave_the_frame_are_the_reason(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(carrying, "UNSURE", 1)  # what is left of them is followed well
    away = np.roll(run.frames[6], 90, 1)
    away[:, :90] = 128
    one = on_a_frame_like(run, away, np.where(np.arange(192) < 90, 0, np.roll(run.said[6], 90, 1)))
    assert one.reason == "vessels leave the frame"
    assert one.mask[:, 100:].any()


def test_of_two_anchors_the_one_that_fits_counts_more(run: Run):
    """The other one is of a tree that the frame does not show."""
    other = run.frames[6].T.copy()
    frames = np.stack([run.frames[6], run.frames[7], other])
    masks = {0: run.masks[6].astype(np.uint8), 2: run.masks[6].T.astype(np.uint8)}
    both = list(follow(frames, masks))[1]
    assert dsc(both.mask, run.masks[7]) > 0.75


def test_the_least_trusted_come_first_and_what_is_empty_last():
    some, none = np.ones((2, 2), np.uint8), np.zeros((2, 2), np.uint8)
    found = [
        Followed(0, none, 0.0, "contrast"),
        Followed(1, some, 0.7, "motion"),
        Followed(2, some, 1.0, anchor=True),
        Followed(3, some, 0.4, "motion"),
        Followed(4, some, 0.9),
    ]
    assert [one.index for one in unsure(found)] == [3, 1, 0]

"""Labels that lack branches, completed."""

from __future__ import annotations

import numpy as np
import pytest

from vasomim_core.data.codes import BESIDE, DOUBTFUL, FAINT, LIKELY, NO_VESSEL, SOME_VESSEL, STRAY, UNKNOWN
from vasomim_core.data.completion import completed, completed_by


@pytest.fixture
def two_vessels() -> tuple[np.ndarray, np.ndarray]:
    """A frame with two dark bars of 9 px, and a label of the upper one alone."""
    rng = np.random.default_rng(0)
    frame = np.full((512, 512), 180.0) + rng.normal(0, 2, (512, 512))
    for row in (200, 300):
        frame[row : row + 9, 80:430] -= 70
    labelled = np.zeros((512, 512), np.uint8)
    labelled[200:209, 80:430] = 3
    return frame.clip(0, 255).astype(np.uint8), labelled


def test_the_branch_that_is_not_labelled_is_likely(two_vessels):
    codes = completed(*two_vessels)
    assert (codes[302:307, 100:400] == LIKELY).mean() > 0.95
    assert (codes[200:209, 80:430] == 3).all()
    assert not (codes[190:220] == LIKELY).any()  # the borders of the label are its own
    assert (codes[296:299, 150:400] == BESIDE).mean() > 0.5
    assert (codes[20:40] != LIKELY).all()
    assert np.isin(codes[50:150], (NO_VESSEL, STRAY)).all()
    assert not (codes[180:225, 80:430] == STRAY).any()
    assert set(np.unique(codes)) <= {3, NO_VESSEL, LIKELY, FAINT, BESIDE, DOUBTFUL, STRAY}


def test_a_thin_line_is_faint_where_it_hangs_on_the_tree_and_stray_where_it_does_not(two_vessels):
    frame, labelled = two_vessels
    frame = frame.astype(float)
    for left in (200, 470):  # from the label upwards, and far from all
        frame[100:199, left : left + 3] -= 40
    codes = completed(frame.clip(0, 255).astype(np.uint8), labelled)
    assert (codes[110:190, 201] == FAINT).mean() > 0.9
    assert (codes[110:190, 471] == STRAY).mean() > 0.5
    assert not (codes[100:180, 465:478] == FAINT).any()


def test_a_flat_frame_has_nothing_to_be_completed():
    codes = completed(np.full((128, 128), 90, np.uint8), np.zeros((128, 128), np.uint8))
    assert (codes == NO_VESSEL).all()


def test_a_teacher_is_believed_where_it_is_sure():
    p, even = np.array([[0.0, 0.049, 0.06, 0.74, 0.75, 1.0]], np.float32), np.full((1, 6), 99, np.uint8)
    nothing = np.zeros((1, 6), np.uint8)
    assert completed_by(even, p, None, nothing).tolist() == [[NO_VESSEL, NO_VESSEL, BESIDE, BESIDE, LIKELY, LIKELY]]
    unlabelled = [[NO_VESSEL, NO_VESSEL, UNKNOWN, UNKNOWN, SOME_VESSEL, SOME_VESSEL]]
    assert completed_by(even, p, None, None).tolist() == unlabelled
    catheter = np.array([[0, 0, 0.8, 0.2, 0.76, 0]], np.float32)
    assert completed_by(even, p, catheter, None)[0, [2, 3, 4]].tolist() == [NO_VESSEL, UNKNOWN, NO_VESSEL]


def test_a_thin_line_that_a_teacher_doubts_is_faint_where_it_hangs_on_what_it_found(two_vessels):
    """One line runs off the lower vessel, another lies alone, and the teacher has hardly seen either."""
    frame, labelled = two_vessels
    frame, p = frame.copy(), np.zeros(frame.shape, np.float32)
    frame[309:400, 200:203] -= 60
    frame[420:423, 200:300] -= 60
    p[300:309, 80:430] = 0.9
    for seen, hanging, alone in ((0.0, DOUBTFUL, DOUBTFUL), (0.07, BESIDE, BESIDE), (0.1, FAINT, BESIDE)):
        p[309:400, 198:205] = p[418:425, 200:300] = seen
        codes = completed_by(frame, p, None, labelled)
        assert (codes[330:380, 201] == hanging).mean() > 0.95
        assert (codes[421, 220:280] == alone).mean() > 0.95
        assert (codes[301:308, 100:400] == LIKELY).all()
        assert (codes[50:150] == NO_VESSEL).mean() > 0.9
    assert not (completed_by(frame, p, None, None) == BESIDE).any()
    catheter = (p == 0.1).astype(np.float32)
    assert not (completed_by(frame, p, catheter, labelled) == FAINT).any()


def test_a_label_stands_against_its_teacher():
    p = np.full((9, 15), 0.9, np.float32)
    labelled = np.zeros((9, 15), np.uint8)
    labelled[4, 4] = 2
    codes = completed_by(np.full((9, 15), 99, np.uint8), p, None, labelled)
    assert codes[4, 4] == 2
    assert codes[4, 9] == BESIDE
    assert codes[4, 10] == LIKELY

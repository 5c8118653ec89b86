from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from napari_vasomim.canvas.layers import KEY
from napari_vasomim.labelling import sources
from napari_vasomim.labelling.contents import Contents
from napari_vasomim.labelling.files import read_file
from napari_vasomim.labelling.queue import AnnotationQueue, Place
from napari_vasomim.labelling.sources import FileSource
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.reading import GreyLevels, read_angiogram


class Stack:
    chosen = GreyLevels()

    def __init__(self, count, seed=0):
        self.frames = np.random.default_rng(seed).integers(0, 255, (count, 8, 8), dtype=np.uint8)
        self.opened = False

    def count(self):
        self.opened = True
        return len(self.frames)

    def frame(self, index):
        return self.frames[index]


@pytest.fixture
def labels(tmp_path):
    return LabelSet.create(tmp_path / "set", "set")


def keep(labels, source, index, status="accepted"):
    place = index if source.count() > 1 else None
    labels.add(source.frame(index), np.eye(8, dtype=bool), status=status, frame_index=place)


def test_file_order_there_and_back():
    queue = AnnotationQueue([Stack(2), Stack(1), Stack(3)])
    places = list(queue.places())
    assert places == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)]
    assert [queue.after(place) for place in places] == [*places[1:], None]
    assert [queue.before(place) for place in places] == [None, *places[:-1]]


def test_files_are_opened_when_their_turn_comes():
    sources = [Stack(2), Stack(2), Stack(2)]
    queue = AnnotationQueue(sources)
    assert queue.next_unlabelled(None, Contents()) == (0, 0)
    assert queue.after(Place(0, 0)) == (0, 1)
    assert [source.opened for source in sources] == [True, False, False]


def test_every_nth_frame_from_wherever_one_is():
    queue = AnnotationQueue([Stack(10)], every=4)
    assert list(queue.places()) == [(0, 0), (0, 4), (0, 8)]
    assert queue.after(Place(0, 5)) == (0, 8)
    assert queue.before(Place(0, 5)) == (0, 4)


def test_most_uncertain_first_and_those_not_segmented_last():
    queue = AnnotationQueue([Stack(3), Stack(2)], order="uncertain")
    queue.uncertainty = {Place(0, 0): 0.1, Place(1, 1): 0.3, Place(0, 2): 0.2}
    assert list(queue.places()) == [(1, 1), (0, 2), (0, 0), (0, 1), (1, 0)]
    assert queue.after(Place(0, 0)) == (0, 1)
    assert queue.before(Place(0, 2)) == (1, 1)


def test_next_unlabelled_goes_round_and_ends(labels):
    source = Stack(4)
    queue = AnnotationQueue([source])
    keep(labels, source, 3)
    keep(labels, source, 1, "skipped")
    contents = Contents.read(labels)
    assert queue.next_unlabelled(Place(0, 0), contents) == (0, 2)
    assert queue.next_unlabelled(Place(0, 2), contents) == (0, 0)
    keep(labels, source, 0)
    keep(labels, source, 2, "flagged")
    contents = Contents.read(labels, contents)
    assert queue.next_unlabelled(Place(0, 2), contents) is None
    assert queue.by_status(contents) == {"accepted": 2, "skipped": 1, "flagged": 1}


def test_a_frame_that_was_inverted_is_another(labels, tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), Stack(1).frames[0])
    source = FileSource(tmp_path / "1.png")
    queue = AnnotationQueue([source])
    keep(labels, source, 0)
    assert queue.next_unlabelled(None, Contents.read(labels)) is None
    source.chosen = GreyLevels(bright_vessels=True)
    queue.forget(0)
    assert queue.next_unlabelled(None, Contents.read(labels)) == (0, 0)


def test_damaged_files_are_left_out_and_named(tmp_path):
    (tmp_path / "1.png").write_bytes(b"nothing")
    cv2.imwrite(str(tmp_path / "2.png"), Stack(1).frames[0])
    queue = AnnotationQueue([FileSource(tmp_path / "1.png"), FileSource(tmp_path / "2.png")])
    assert queue.next_unlabelled(None, Contents()) == (1, 0)
    assert "1.png" in queue.problems[0]


def test_contents_read_what_changed_and_name_what_is_damaged(labels, monkeypatch):
    source = Stack(3)
    for index in range(3):
        keep(labels, source, index)
    before = Contents.read(labels)
    ids = list(before.records)
    labels.set_group(ids[0], "p1")
    (labels.folder / "records" / f"{ids[1]}.json").write_text("{")
    read = []
    record = LabelSet.record
    monkeypatch.setattr(LabelSet, "record", lambda self, id: read.append(id) or record(self, id))
    after = Contents.read(labels, before)
    assert read == ids[:2]
    assert list(after.by_group) == ["p1", None]
    assert ids[1] in after.damaged[0]


def test_a_set_that_is_gone_is_one_sentence(labels):
    (labels.folder / "labelset.json").unlink()
    with pytest.raises(LabelError, match="not there any more"):
        Contents.read(labels)


def test_a_file_is_opened_once_to_look_up_and_to_show_and_again_when_it_changes(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(sources, "read_angiogram", lambda path: opened.append(path) or read_angiogram(path))
    path = tmp_path / "1.png"
    cv2.imwrite(str(path), Stack(1).frames[0])
    source = FileSource(path, sources.remembering_reader())
    source.count()
    source.frame(0)
    data, _, _ = read_file(source)
    assert opened == [path]
    np.testing.assert_array_equal(data, Stack(1).frames[0])
    source.chosen = GreyLevels(bright_vessels=True)
    assert read_file(source)[1]["metadata"][KEY].chosen == source.chosen
    cv2.imwrite(str(path), Stack(1, seed=1).frames[0])
    os.utime(path, ns=(0, 0))
    np.testing.assert_array_equal(source.frame(0), ~Stack(1, seed=1).frames[0])
    assert opened == [path, path]

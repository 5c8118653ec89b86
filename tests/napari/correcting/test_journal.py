"""Every stroke is on disk when the next one starts, and comes back after a crash."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from napari_vasomim.correcting.journal import Journal
from napari_vasomim.correcting.undo import apply, apply_values, undo_depth
from napari_vasomim.correcting.unfinished import discard, restore, unfinished
from vasomim_core.errors import InputError

pytestmark = pytest.mark.once  # what is tested here knows no Qt

ROOT = Path(__file__).resolve().parents[3]
SHAPE = (4, 24, 32)
SQUARE = np.zeros(SHAPE[1:], bool)
SQUARE[4:8, 10:16] = True


def cine(data=None, **keywords) -> Labels:
    return Labels(np.zeros(SHAPE, np.uint8) if data is None else data, name="correction", **keywords)


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "journal")


def left(journal, layer):
    """What the next start finds after this layer is gone."""
    journal.leave(layer)
    (entry,) = unfinished(journal.folder)
    return entry


def files(journal):
    return sorted(path.suffix for path in journal.folder.iterdir())


# One step each. Numbers are taken modulo what there is.
PAINT = st.tuples(st.just("paint"), st.integers(0, 3), st.integers(0, 23), st.integers(0, 31), st.integers(0, 3))
FILL = st.tuples(st.just("fill"), st.integers(0, 3), st.integers(0, 23), st.integers(0, 31), st.integers(0, 3))
DRAG = st.tuples(st.just("drag"), st.integers(0, 3), st.integers(0, 23), st.integers(0, 31), st.integers(0, 3))
DEEP = st.tuples(st.just("deep"), st.integers(0, 3), st.integers(0, 23), st.integers(0, 31), st.integers(0, 3))
TOOL = st.tuples(st.just("tool"), st.integers(0, 3), st.integers(0, 23), st.integers(0, 31), st.integers(0, 3))
WHOLE = st.tuples(st.just("whole"), st.integers(0, 3), st.integers(0, 23), st.integers(0, 31), st.integers(0, 3))
BACK = st.sampled_from([("undo", 0, 0, 0, 0), ("redo", 0, 0, 0, 0), ("hidden", 0, 0, 0, 0), ("array", 0, 0, 0, 0)])
STEPS = st.lists(st.one_of(PAINT, FILL, DRAG, DEEP, TOOL, WHOLE, BACK, BACK), max_size=25)


def make(layer: Labels, step) -> None:
    name, frame, row, column, value = step
    layer.brush_size = 5
    if name in ("paint", "fill"):
        getattr(layer, name)((frame, row, column), value)
    elif name == "drag":
        with layer.block_history():
            for move in range(4):
                layer.paint((frame, row, (column + 3 * move) % 32), value)
    elif name == "deep":
        layer.n_edit_dimensions = 3
        layer.paint((frame, row, column), value)
        layer.n_edit_dimensions = 2
    elif name == "tool":
        apply(layer, frame, np.roll(SQUARE, (row, column), (0, 1)), value)
    elif name == "whole":
        apply_values(layer, frame, np.roll(np.eye(24, 32, dtype=np.uint8) * value, column, 1))
    elif name == "hidden":
        layer.visible = not layer.visible
    elif name == "array":
        layer.data = layer.data[::-1].copy()
    else:
        getattr(layer, name)()


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans())
def test_any_steps_come_back(tmp_path_factory, made, placed):
    journal = Journal(tmp_path_factory.mktemp("journal"))
    layer = cine(scale=(0.5, 2, 3), translate=(1, -7, 9)) if placed else cine()
    layer.data[1, 3:9, 5:20] = 2  # before it is followed
    journal.follow(layer, {})
    changed = False
    for step in made:
        before = layer.data.copy()
        make(layer, step)
        changed |= not np.array_equal(before, layer.data)
    journal.leave(layer)

    entries = unfinished(journal.folder)
    assert len(entries) == changed
    if changed:
        assert np.array_equal(restore(entries[0]), layer.data)


def test_what_is_offered_says_what_it_is(journal):
    layer = cine(scale=(1, 0.5, 0.5), translate=(0, 2, 3))
    journal.follow(layer, {"source": "/somewhere/a.dcm", "model": "vasomim-demo", "width": np.float32(2)})
    apply(layer, 3, SQUARE, 1)
    layer.undo()
    apply(layer, 1, SQUARE, 2)

    entry = left(journal, layer)
    assert (entry.strokes, entry.pixels, entry.frames) == (3, 72, (1, 3))
    assert entry.when.tzinfo
    assert entry.about == {
        "source": "/somewhere/a.dcm",
        "model": "vasomim-demo",
        "width": 2.0,
        "name": "correction",
        "shape": list(SHAPE),
        "dtype": "uint8",
        "scale": [1, 0.5, 0.5],
        "translate": [0, 2, 3],
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16])
def test_a_still_of_any_integers(journal, dtype):
    layer = cine(np.zeros((24, 32), dtype))
    journal.follow(layer, {})
    layer.paint((5, 5), 100)
    restored = restore(left(journal, layer))
    assert restored.dtype == dtype
    assert np.array_equal(restored, layer.data)


def test_a_journal_cut_at_any_byte_gives_the_strokes_before(journal, notifications):
    layer = cine()
    layer.data[0, :5, :5] = 1
    journal.follow(layer, {})
    states = [layer.data.copy()]
    (path,) = journal.folder.iterdir()
    begin = path.stat().st_size
    for step in [("paint", 0, 9, 9, 1), ("deep", 2, 5, 5, 2), ("undo", 0, 0, 0, 0), ("whole", 1, 0, 0, 3)]:
        make(layer, step)
        states.append(layer.data.copy())
    entry = left(journal, layer)
    whole = path.read_bytes()

    counts = []
    for cut in range(begin, len(whole) + 1):
        path.write_bytes(whole[:cut])
        found = unfinished(journal.folder)
        for part in found:
            assert np.array_equal(restore(part), states[part.strokes])
        counts.append(found[0].strokes if found else 0)
    assert sorted(counts) == counts
    assert set(counts) == {0, 1, 2, 3, 4}
    assert found == [entry]


@pytest.mark.parametrize("damage", [lambda b: b[:40], lambda b: b"", lambda b: bytes(len(b)), lambda b: b[::-1]])
def test_a_damaged_journal_is_set_aside_with_a_sentence(journal, notifications, damage):
    layer = cine()
    journal.follow(layer, {})
    apply(layer, 1, SQUARE, 1)
    entry = left(journal, layer)
    entry.path.write_bytes(damage(entry.path.read_bytes()))

    assert unfinished(journal.folder) == []
    assert files(journal) == [".unreadable"]
    assert "damaged" in notifications.pop().message
    with pytest.raises(InputError, match="cannot be read"):
        restore(entry)


def test_a_flipped_bit_ends_the_journal_there(journal):
    layer = cine()
    journal.follow(layer, {})
    apply(layer, 1, SQUARE, 1)
    kept = layer.data.copy()
    (path,) = journal.folder.iterdir()
    size = path.stat().st_size
    apply(layer, 2, SQUARE, 1)
    entry = left(journal, layer)
    content = bytearray(path.read_bytes())
    content[size + 30] ^= 1
    path.write_bytes(content)

    (found,) = unfinished(journal.folder)
    assert found.strokes == entry.strokes - 1
    assert np.array_equal(restore(found), kept)


def test_accepted_work_is_not_offered(journal):
    layer = cine()
    journal.follow(layer, {})
    apply(layer, 1, SQUARE, 1)
    assert unfinished(journal.folder) == []  # it is being worked on
    journal.done(layer)
    apply(layer, 2, SQUARE, 1)
    assert files(journal) == []


def test_a_layer_without_strokes_leaves_nothing(journal):
    layer = cine(np.ones(SHAPE, np.uint8))
    journal.follow(layer, {})
    del layer
    gc.collect()
    assert unfinished(journal.folder) == []
    assert files(journal) == []


def test_discarded_work_is_kept_two_weeks(journal):
    layer = cine()
    journal.follow(layer, {})
    apply(layer, 1, SQUARE, 1)
    discard(left(journal, layer))

    assert unfinished(journal.folder) == []
    assert files(journal) == [".discarded"]
    (path,) = journal.folder.iterdir()
    os.utime(path, (0, 0))
    assert unfinished(journal.folder) == []
    assert files(journal) == []


def test_restored_work_counts_on_and_is_offered_once(journal):
    layer = cine()
    journal.follow(layer, {})
    apply(layer, 1, SQUARE, 1)
    entry = left(journal, layer)

    again = cine(restore(entry))
    journal.follow(again, entry.about, continues=entry)
    assert files(journal) == [".journal"]
    found = left(journal, again)  # a second crash, before any stroke
    assert replace(found, path=entry.path, when=entry.when) == entry
    assert np.array_equal(restore(found), layer.data)


def test_a_layer_taken_out_and_put_back_is_still_followed(viewer, journal):
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint8))
    journal.follow(layer, {})
    apply(layer, 1, SQUARE, 1)
    viewer.layers.remove(layer)
    layer.undo()
    viewer.layers.append(layer)
    layer.name = "renamed"
    viewer.layers[0].paint((2, 5, 5), 3)
    assert np.array_equal(restore(left(journal, layer)), layer.data)


def test_a_layer_that_is_gone_is_offered_in_the_same_session(journal):
    layer = cine()
    journal.follow(layer, {})
    apply(layer, 1, SQUARE, 1)
    expected = layer.data.copy()
    del layer
    gc.collect()
    (entry,) = unfinished(journal.folder)
    assert np.array_equal(restore(entry), expected)


def test_an_array_of_another_shape_gets_a_journal_of_its_own(journal):
    layer = cine()
    journal.follow(layer, {"source": "a"})
    apply(layer, 1, SQUARE, 1)
    first = layer.data.copy()
    layer.data = np.zeros((24, 32), np.uint8)
    apply(layer, None, SQUARE, 2)
    journal.leave(layer)

    entries = {len(entry.about["shape"]): entry for entry in unfinished(journal.folder)}
    assert np.array_equal(restore(entries[3]), first)
    assert np.array_equal(restore(entries[2]), layer.data)
    assert entries[2].about["source"] == "a"


def test_code_that_writes_into_the_array_can_say_so(journal):
    layer = cine()
    journal.follow(layer, {})
    layer.data[2, SQUARE] = 3
    journal.catch_up(layer)
    assert np.array_equal(restore(left(journal, layer)), layer.data)


def test_a_long_journal_is_written_anew(journal):
    journal.limit = 5000
    layer = cine()
    journal.follow(layer, {})
    (path,) = journal.folder.iterdir()
    noise = np.random.default_rng(0)
    for _ in range(40):
        apply_values(layer, 1, noise.integers(0, 4, SHAPE[1:], np.uint8))
        assert path.stat().st_size < 5000 + 1000

    entry = left(journal, layer)
    assert (entry.strokes, entry.frames) == (40, (1,))
    assert np.array_equal(restore(entry), layer.data)


def test_a_folder_that_cannot_be_written_is_said_once_and_made_good_later(journal, notifications):
    journal.folder.write_text("in the way")
    layer = cine()
    journal.follow(layer, {})
    apply(layer, 1, SQUARE, 1)
    layer.undo()
    apply(layer, 2, SQUARE, 1)
    assert len(notifications) == 1
    assert "painting goes on" in notifications.pop().message
    assert undo_depth(layer) == 1

    journal.folder.unlink()
    apply(layer, 3, SQUARE, 1)
    entry = left(journal, layer)
    assert entry.strokes == 4
    assert np.array_equal(restore(entry), layer.data)


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files is how a full disk is played")
def test_a_full_disk_costs_no_stroke_when_there_is_room_again(journal, notifications):
    import resource

    layer = cine()
    journal.follow(layer, {})
    apply(layer, 0, SQUARE, 1)
    (path,) = journal.folder.iterdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
        apply(layer, 1, SQUARE, 1)
        before = layer.data.copy()
        apply(layer, 2, SQUARE, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "painting goes on" in notifications.pop().message
    assert not notifications

    before[1:3] = 0
    with open(path, "rb") as torn:  # a half record is there; everything before it comes back
        copy = path.with_name(f"copy{path.suffix}")
        copy.write_bytes(torn.read())
    (found,) = unfinished(journal.folder)
    assert np.array_equal(restore(found), before)
    copy.unlink()

    layer.paint((3, 9, 9), 1)
    assert np.array_equal(restore(left(journal, layer)), layer.data)


DRAWS = textwrap.dedent("""
    import sys
    from pathlib import Path
    import numpy as np
    from napari.layers import Labels
    from napari_vasomim.correcting.journal import Journal

    def stroke(layer, number):
        random = np.random.default_rng(number)
        layer.brush_size = 7
        with layer.block_history():
            for row, column in random.integers(0, 64, (12, 2)):
                layer.paint((number % 3, row, column), 1 + number % 5)
                yield

    def draw(layer, number):
        if number % 7 == 6:
            layer.undo()
        else:
            for _ in stroke(layer, number):
                pass

    if __name__ == "__main__":
        layer = Labels(np.zeros((3, 64, 64), np.uint8))
        Journal(Path(sys.argv[1])).follow(layer, {"source": "a"})
        number = 0
        while number != int(sys.argv[2]):
            draw(layer, number)
            number += 1
            if number == 20:
                print("20", flush=True)
        half = stroke(layer, number)
        for _ in range(6):
            next(half)
        print("half", flush=True)
        sys.stdin.read()
""")


@pytest.fixture
def drawing(journal):
    """Another process that draws so many steps and a half; it is killed at the end, at the latest."""
    running = []

    def start(steps, until):
        command = [sys.executable, "-c", DRAWS, journal.folder, str(steps)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        running.append(process)
        while process.stdout.readline().strip() != until:
            assert process.poll() is None
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def redraw(steps):
    """The labels after so many steps."""
    scope = {"__name__": "redraw"}
    exec(DRAWS, scope)
    layer = Labels(np.zeros((3, 64, 64), np.uint8))
    for number in range(steps):
        scope["draw"](layer, number)
    return layer.data


def test_killed_in_the_middle_of_a_stroke(journal, drawing):
    process = drawing(30, until="half")
    assert unfinished(journal.folder) == []  # another napari is at it
    process.kill()
    process.wait()

    (entry,) = unfinished(journal.folder)
    assert (entry.strokes, entry.frames, entry.about["source"]) == (30, (0, 1, 2), "a")
    assert np.array_equal(restore(entry), redraw(30))


def test_killed_at_any_moment(journal, drawing):
    process = drawing(-1, until="20")
    time.sleep(0.2)
    process.kill()
    process.wait()

    (entry,) = unfinished(journal.folder)
    assert entry.strokes >= 20
    assert np.array_equal(restore(entry), redraw(entry.strokes))

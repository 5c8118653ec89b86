"""Measures that are kept come back exactly, for the same pixels alone, and say so where they measure otherwise now."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

import vasomim_core as vm
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.measures.kept import NUMBERS, KeptMeasure, from_json, to_json
from vasomim_core.measures.store import MeasureStore

from .drawn import at, narrowed, tube

FRAME = tube(narrowed(10.0, 50))
SHA = pixel_sha256(FRAME)


@pytest.fixture(scope="module")
def measured():
    scale = vm.Scale(1 / 3, "a person, who gave it by hand", "doubtful")
    measure = vm.measure(
        FRAME, at(30), at(150), via=[at(90)], scale=scale, reference="computed", name="mid LAD ½ \ud83d"
    )
    return measure.with_(markers=(7.1, 100.3))


@pytest.fixture
def kept(measured):
    return KeptMeasure.of(measured, 4, SHA)


@pytest.fixture
def store(tmp_path):
    return MeasureStore(tmp_path / "measures")


def test_a_measure_comes_back_exactly_and_measures_the_same(store, measured, kept):
    store.put(SHA, kept)
    [back] = store.of_frame(FRAME)
    assert replace(back, name="") == replace(kept, name="")
    assert back.name.startswith("mid LAD ½")
    again = back.again(FRAME)
    assert (again.reference, again.markers, again.scale) == (measured.reference, measured.markers, measured.scale)
    np.testing.assert_array_equal(again.diameter, measured.diameter)
    assert back.difference(again, SHA) == ""
    assert {name: getattr(again, name) for name in NUMBERS} == back.numbers


def test_the_text_is_read_back_to_the_same_text(kept):
    text = json.dumps(to_json(SHA, [kept, replace(kept, id="0" * 16, scale=None)]))
    assert json.dumps(to_json(*from_json(text, "x"))) == text


def test_numbers_that_differ_are_told(measured, kept):
    older = replace(kept, numbers=kept.numbers | {"mld_px": 4.0, "lesion_px": None}, program="0.0.1")
    told = older.difference(measured, SHA)
    assert "MLD 4.00 →" in told
    assert "lesion none →" in told
    assert "version 0.0.1, and" in told
    assert "mean" not in told
    assert KeptMeasure.of(measured, 4, SHA, like=older).id == older.id != KeptMeasure.of(measured, 4, SHA).id
    assert "other grey levels" in older.difference(measured, "0" * 64)
    assert kept.difference(measured, "0" * 64) == ""


def test_markers_that_do_not_fit_any_more_go_back_to_where_they_begin(kept):
    assert replace(kept, markers=(7.1, 900.0)).again(FRAME).markers == (7.1, pytest.approx(118.9, abs=0.1))
    assert replace(kept, markers=(800.0, 900.0)).again(FRAME).markers[0] < 10


def test_other_pixels_have_no_measures(store, kept):
    store.put(SHA, kept)
    changed = FRAME.copy()
    changed[0, 0] ^= 1
    assert store.of_frame(changed) == []
    assert store.frames() == {SHA}


def test_a_measure_is_changed_in_its_place_and_removed(store, kept):
    other = replace(kept, id="1" * 16)
    for one in (kept, other, replace(kept, name="renamed")):
        store.put(SHA, one)
    assert [(one.id, one.name == "renamed") for one in store.read(SHA)] == [(kept.id, True), (other.id, False)]
    store.remove(SHA, kept.id)
    store.remove(SHA, kept.id)
    assert [one.id for one in store.read(SHA)] == [other.id]
    store.remove(SHA, other.id)
    assert store.frames() == set()
    assert MeasureStore(store.folder / "nowhere").frames() == set()


def test_of_many_who_write_at_once_none_is_lost(store, kept):
    ids = [f"{k:016x}" for k in range(24)]
    threads = [threading.Thread(target=store.put, args=(SHA, replace(kept, id=id))) for id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.id for one in store.read(SHA)) == ids


def damaged(kept, **changed):
    listed = to_json(SHA, [kept])
    listed["measures"][0] |= changed
    return json.dumps(listed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": 2}, "of version 2"),
        ({"format": "other"}, "no file of measures"),
        ({"measures": [{}]}, "does not fit"),
        ({"frame_sha256": "1" * 64}, "of another frame"),
    ],
)
def test_a_file_that_is_not_as_we_write_it_is_refused_and_left_alone(store, kept, changed, words):
    store.put(SHA, kept)
    path = store.folder / f"{SHA}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    before = path.read_bytes()
    for act in (lambda: store.read(SHA), lambda: store.put(SHA, kept), lambda: store.remove(SHA, kept.id)):
        with pytest.raises(vm.VasoMIMError, match=words):
            act()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "changed",
    [
        {"clicks": [[1, 2]]},
        {"clicks": [[1, 2], [3, float("nan")]]},
        {"clicks": [[1, 2], [3, "4"]]},
        {"markers": [1, 2, 3]},
        {"reference": "guessed"},
        {"scale": {"mm_per_px": 900, "source": "x", "warning": ""}},
        {"scale": {"mm_per_px": "0.2", "source": "x", "warning": ""}},
        {"scale": {"mm_per_px": 0.2, "source": 7, "warning": ""}},
        {"scale": {"mm_per_px": 0.2, "source": "", "warning": ""}},
        {"scale": {"mm_per_px": 0.2, "source": "x", "warning": 3}},
        {"scale": {"mm_per_px": 0.2}},
        {"numbers": {}},
        {"frame": -1},
        {"frame": True},
        {"id": "../../x"},
        {"name": "x" * 2000},
        {"more": 1},
    ],
)
def test_each_field_is_checked(kept, changed):
    with pytest.raises(vm.VasoMIMError, match=r"x\.json has a field that does not fit"):
        from_json(damaged(kept, **changed), "x.json")
    assert from_json(damaged(kept), "x.json") == (SHA, [kept])


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "[" * 100_000])
def test_what_is_no_json_of_ours_is_one_sentence(text):
    with pytest.raises(vm.VasoMIMError):
        from_json(text, "x.json")

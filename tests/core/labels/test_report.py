from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.core.labels.made import frame, invented, mask, save
from tests.core.reading.test_angiogram import write_dicom
from vasomim_core.classes import LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.report import check_labels
from vasomim_core.reading import to_uint8


def test_the_report_names_probable_mistakes(pairs: Path) -> None:
    save(pairs / "masks" / "0.png", np.zeros((12, 16), np.uint8))
    save(pairs / "masks" / "1.png", ~mask(1))
    save(pairs / "images" / "2.png", np.full((12, 16), 7, np.uint8))
    save(pairs / "images" / "9.png", np.zeros((8, 8), np.uint8) + np.arange(8, dtype=np.uint8))
    save(pairs / "masks" / "9.png", np.eye(8, dtype=bool))
    report = check_labels(open_labels(pairs))
    assert (report.frames, report.groups, report.sizes) == (5, 5, {(12, 16): 4, (8, 8): 1})
    assert (report.empty, report.inverted, report.constant) == (("0",), ("1",), ("2",))
    assert [warning.split(")")[0] for warning in report.warnings] == [
        f"1 of 5 labelled frames (first: {name}" for name in "012"
    ]
    with pytest.raises(LabelError, match="no labelled frames"):
        check_labels([])


def test_odd_annotations_and_set_aside_windows_are_in_the_report(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / "x" / "images" / f"{i}.png", frame(i))
    annotation = {"id": 5, "image_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    document = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 12, "width": 16} for i in range(2)],
        "annotations": [annotation, {"id": 6, "image_id": 1}, {"id": 7, "image_id": 9, "segmentation": []}],
    }
    (tmp_path / "x" / "annotations").mkdir()
    (tmp_path / "x" / "annotations" / "x.json").write_text(json.dumps(document))
    frames = open_labels(tmp_path / "x")
    assert frames[1].vessel > 0
    warnings = check_labels(frames).warnings
    assert any("id 6" in w and "left out" in w for w in warnings)
    assert any("id 7" in w for w in warnings)


def test_a_frame_whose_window_hides_it_is_in_the_report(pairs: Path) -> None:
    deep = frame(7).astype(np.uint16) * 9 + 800
    write_dicom(pairs / "images" / "7.dcm", deep[np.newaxis], WindowCenter=128, WindowWidth=256)
    save(pairs / "masks" / "7.png", mask(7) * np.uint8(255))
    frames = open_labels(pairs)
    assert any("set aside" in w for w in check_labels(frames).warnings)
    np.testing.assert_array_equal(next(f for f in frames if f.name == "7").frame(), to_uint8(deep))


def test_more_than_half_is_inverted_and_half_is_not() -> None:
    shares, shapes = (0.5, 0.51, 0.0, 0.001), ((4, 4), (8, 8), (8, 8), (8, 8))
    frames = [
        replace(f, vessel=share, shape=shape, group=group)
        for f, share, shape, group in zip(invented(["x"] * 4), shares, shapes, "aabb", strict=True)
    ]
    report = check_labels(frames)
    assert (report.frames, report.groups, report.inverted, report.empty) == (4, 2, ("1",), ("2",))
    assert report.vessel == pytest.approx(1.011 / 4)
    assert list(report.sizes.items()) == [((8, 8), 3), ((4, 4), 1)], "the most common size first"


def test_classes_that_no_frame_has_are_named() -> None:
    classes = (LabelClass(1, "main"), LabelClass(2, "wire", vessel=False), LabelClass(7, "twig"))
    for values, told in (
        (((1, 2), (7,)), []),
        (((1, 2), (2,)), ["Class twig is on none of 2 labelled frames: a model cannot learn what it never sees."]),
        (
            ((), (2,)),
            ["The classes main, twig are on none of 2 labelled frames: a model cannot learn what it never sees."],
        ),
    ):
        frames = [replace(f, values=v, classes=classes) for f, v in zip(invented(["a", "b"]), values, strict=True)]
        report = check_labels(frames)
        assert report.classes == {c.name: sum(c.value in v for v in values) for c in classes}
        assert list(report.warnings) == told
    assert check_labels(invented(["a"])).warnings == (), "of one class it is told frame by frame"


@pytest.mark.parametrize(("notes", "told"), [(0, 0), (20, 20), (21, 21), (25, 21)])
def test_twenty_notes_are_told_and_how_many_more_there_are(notes: int, told: int) -> None:
    each = tuple(f"note {n}." for n in range(notes))
    frames = [replace(f, notes=each) for f in invented(["a", "b"])]  # of one file: told once
    warnings = check_labels(frames).warnings
    assert warnings[:20] == each[:20]
    assert warnings[20:] == ((f"… and {notes - 20} more of this kind.",) if notes > 20 else ())
    assert len(warnings) == told

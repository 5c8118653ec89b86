"""What is read of diameters: references, stenosis, lesion; and that every number in mm has its source beside it."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

import vasomim_core as vm
from vasomim_core.cli import run
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.reference import reference_line
from vasomim_core.measures.report import save_report
from vasomim_core.measures.segment import Segment
from vasomim_core.measures.table import as_csv

from .drawn import at, narrowed, tube


def made(diameter) -> Segment:
    """A straight segment of these diameters, half a pixel apart."""
    n = len(diameter)
    centre = np.stack([np.full(n, 20.0), np.arange(n) / 2], axis=1)
    half = np.stack([np.asarray(diameter) / 2, np.zeros(n)], axis=1)
    return Segment(((20, 0), (20, n / 2)), centre, centre - half, centre + half, 1.0)


def tapering(stenosis=60.0, place=0.4, n=241):
    s = np.linspace(0, 1, n)
    z = (s - place) / 0.12
    return (10 - 4 * s) * (1 - stenosis / 100 * np.where(abs(z) < 1, 0.5 + 0.5 * np.cos(np.pi * z), 0))


@pytest.mark.parametrize("kind", ["interpolated", "computed"])
def test_a_stenosis_in_a_tapering_vessel_is_that_of_its_lesion_and_not_of_its_end(kind):
    measure = Measure.of(made(tapering()), kind)
    assert measure.ds_percent == pytest.approx(60, abs=1)
    assert measure.mld_px == pytest.approx((10 - 4 * 0.4) * 0.4, abs=0.05)
    assert measure.reference_px == pytest.approx(10 - 4 * 0.4, abs=0.15)
    assert measure.distance[measure.narrowest] == pytest.approx(0.4 * 120, abs=1)


def test_a_lesion_ends_where_the_reference_is_reached():
    measure = Measure.of(made(tapering()))
    # D = 0.95 RD where 0.6 (0.5 + 0.5 cos πz) = 0.05
    half = np.arccos(0.05 / 0.3 - 1) / np.pi * 0.12 * 120
    assert measure.lesion_px == pytest.approx(2 * half, abs=1.1)
    assert Measure.of(made(np.full(200, 7.0))).lesion_px is None


def test_the_mean_local_reference_is_the_mean_at_the_markers():
    s, d = np.arange(0, 100, 0.5), np.linspace(10, 6, 200)
    line = reference_line(s, d, "mean-local", (10.0, 90.0))
    assert np.ptp(line) == 0
    assert line[0] == pytest.approx(np.interp([10, 90], s, d).mean(), abs=0.02)


@pytest.mark.parametrize("kind", ["interpolated", "computed", "mean-local"])
def test_the_nearest_markers_that_are_allowed_have_a_reference(kind):
    measure = Measure.of(made(tapering(0)), kind).with_(markers=(10.0, 15.0))
    assert np.isfinite(measure.reference_diameter).all()
    assert measure.ds_percent == pytest.approx(0, abs=2)


def test_markers_that_are_moved_move_the_reference():
    diameter = tapering(0)
    diameter[:60] *= 1.5  # an ectasia, which the first marker must not stand in
    there = Measure.of(made(diameter))
    moved = there.with_(markers=(40.0, 114.0))
    assert there.ds_percent > 20
    assert moved.ds_percent == pytest.approx(0, abs=1)
    for wrong in ((50.0, 40.0), (-1.0, 50.0), (10.0, 500.0), (10.0, 14.9), (float("nan"), 50.0)):
        with pytest.raises(vm.VasoMIMError, match="two places on the segment, from 0 to 120"):
            there.with_(markers=wrong)
    with pytest.raises(vm.VasoMIMError, match="choose interpolated, computed, mean-local"):
        there.with_(reference="guessed")


def test_a_drawn_stenosis_is_measured_to_five_points():
    for stenosis in (0, 40, 70):
        measure = vm.measure(tube(narrowed(11.0, stenosis)), at(25), at(155))
        assert measure.ds_percent == pytest.approx(stenosis, abs=5)
        assert measure.mean_px == pytest.approx(narrowed(11.0, stenosis)[25:155].mean(), abs=0.5)


def test_the_same_frame_gives_the_same_measure():
    frame = tube(narrowed(9.0, 40))
    one, two = (vm.measure(frame, at(30), at(150)).to_dict() for _ in range(2))
    assert one == two


def test_millimetres_never_stand_without_their_source(tmp_path):
    segment, scale = made(tapering()), vm.Scale(0.25, "a person, who gave it by hand")
    pixels, both = Measure.of(segment), Measure.of(segment, scale=scale)
    assert "mm" not in pixels.text(pixels.mld_px)
    assert "no scale" in pixels.source
    assert both.text(4.0) == "1.00 mm (4.0 px)"
    assert "by hand" in both.source
    told = pixels.to_dict()
    assert told["scale_mm_per_px"] is None is told["scale_source"]
    assert json.loads(json.dumps(both.to_dict()))["scale_source"] == scale.source
    one, other = csv.DictReader(io.StringIO(as_csv([(3, pixels), (4, both)])))
    assert one["mld_mm"] == one["scale_source"] == ""
    assert float(other["mld_mm"]) == pytest.approx(0.25 * float(other["mld_px"]), abs=1e-3)
    assert (other["frame"], other["scale_source"]) == ("4", scale.source)


def test_a_changed_scale_changes_every_length(tmp_path):
    measure = Measure.of(made(tapering()), scale=vm.Scale(0.25, "x"))
    twice = measure.with_(scale=vm.Scale(0.5, "y"))
    assert twice.text(measure.mld_px).startswith(f"{0.5 * measure.mld_px:.2f} mm")
    assert twice.ds_percent == measure.ds_percent


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
def test_a_report_is_one_page_and_names_no_file(tmp_path, suffix):
    frame = tube(narrowed(9.0, 40))
    measure = vm.measure(frame, at(30), at(150), name="mid $LAD_1")
    path = tmp_path / f"report{suffix}"
    save_report(path, frame, measure, 7)
    again = tmp_path / f"again{suffix}"
    save_report(again, frame, measure, 7)
    assert path.read_bytes() == again.read_bytes()
    if suffix == ".png":
        assert Image.open(path).size == (992, 1402)
    else:
        assert path.read_bytes().count(b"/Type /Page ") == 1
    with pytest.raises(vm.VasoMIMError, match=r"\.pdf or a \.png"):
        save_report(tmp_path / "report.docx", frame, measure)


@pytest.fixture
def frame(tmp_path):
    path = tmp_path / "frame.png"
    Image.fromarray(tube(narrowed(11.0, 50))).save(path)
    return path


def place(column):
    return "{:.2f},{:.2f}".format(*at(column))


def test_the_command_prints_one_object_and_writes_what_is_asked_for(frame, tmp_path, capsys):
    table, page = tmp_path / "m.csv", tmp_path / "m.pdf"
    arguments = ["measure", str(frame), "--from", place(25), "--to", place(155), "--via", place(90)]
    assert run([*arguments, "--csv", str(table), "--report", str(page), "--scale", "0.2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    same = vm.measure(vm.read_angiogram(frame).grey(0), *(tuple(map(float, place(c).split(","))) for c in (25, 155)))
    assert told["mld_px"] == pytest.approx(same.mld_px, abs=0.1)
    assert told["ds_percent"] == pytest.approx(50, abs=5)
    keys = {
        "mld_px",
        "reference_px",
        "ds_percent",
        "length_px",
        "mean_px",
        "scale_mm_per_px",
        "scale_source",
        "profile",
    }
    assert keys <= set(told)
    assert len(told["profile"]["diameter_px"]) == len(told["profile"]["distance_px"]) > 200
    assert (told["scale_mm_per_px"], told["written"]) == (0.2, [str(table), str(page)])
    assert table.exists()
    assert page.exists()
    assert run(arguments) == 0
    assert "no scale is known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--from", "x", "--to", place(100)], "'x' is no point"),
        (["--from", place(25), "--to", "900,3"], "outside the frame"),
        (["--from", "4,4", "--to", "4,150"], "no vessel leads from row 4, column 4"),
        (["--from", place(25), "--to", place(25)], "less than 8 px apart"),
        (["--from", place(25), "--to", place(100), "--frame", "3"], "--frame is 3"),
        (["--from", place(25), "--to", place(100), "--catheter", "6"], "give both"),
        (["--from", place(25), "--to", place(100), "--scale", "0"], "cannot be one"),
        (["--from", place(25), "--to", place(100), "--report", "x.doc"], ".pdf or a .png"),
        (["--from", place(25), "--to", place(100), "--markers", "9", "4"], "two places on the segment"),
        (["--from", place(25), "--to", place(100), "--markers", "1", "1.3", "--reference", "computed"], "by 5 px"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(frame, capsys, more, words):
    assert run(["measure", str(frame), *more]) == 1
    told = capsys.readouterr().err.strip()
    assert words in told
    assert "\n" not in told


def test_of_a_run_the_frame_must_be_named(tmp_path, capsys):
    path = tmp_path / "run.npy"
    np.save(path, np.stack([tube(9.0), tube(6.0)]))
    arguments = ["measure", str(path), "--from", place(25), "--to", place(155), "--json"]
    assert run(arguments) == 1
    assert "say which by --frame, from 0 to 1" in capsys.readouterr().err
    assert run([*arguments, "--frame", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frame"] == 1
    assert told["mean_px"] == pytest.approx(6, abs=0.5)

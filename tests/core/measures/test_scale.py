"""Millimetres come from the file in the order of trust, from a catheter or from a person; else there are none."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

import vasomim_core as vm
from tests.core.reading.files import cine, write_dicom
from vasomim_core.correction.cost import VesselCost
from vasomim_core.measures.scale import beside_the_file, scale_by_hand, scale_from_catheter, scale_of

from .drawn import at, narrowed, tube

IMAGER = {"ImagerPixelSpacing": [0.3, 0.3]}
PIXEL = {"PixelSpacing": [0.2, 0.2]}
DISTANCES = {"DistanceSourceToPatient": 750, "DistanceSourceToDetector": 1000}


def of(tmp_path, **header):
    return scale_of(vm.read_angiogram(write_dicom(tmp_path / "x.dcm", cine(), **header)).calibration)


@pytest.mark.parametrize(
    ("header", "mm", "words"),
    [
        (PIXEL | IMAGER | DISTANCES | {"PixelSpacingCalibrationType": "FIDUCIAL"}, 0.2, "FIDUCIAL"),
        (PIXEL | IMAGER | DISTANCES | {"PixelSpacingCalibrationType": "GEOMETRY"}, 0.2, "GEOMETRY"),
        (PIXEL | {"PixelSpacingCalibrationType": "FIDUCIAL"}, 0.2, "FIDUCIAL"),
        (IMAGER | DISTANCES, 0.225, "source distances"),
        (IMAGER | DISTANCES | {"EstimatedRadiographicMagnificationFactor": 1.5}, 0.2, "stated magnification"),
        # The same numbers twice are the detector's, whatever they say they are.
        (IMAGER | {"PixelSpacing": [0.3, 0.3], "PixelSpacingCalibrationType": "GEOMETRY"} | DISTANCES, 0.225, "source"),
    ],
)
def test_what_a_file_says_of_millimetres(tmp_path, header, mm, words):
    scale = of(tmp_path, **header)
    assert scale.mm_per_px == pytest.approx(mm)
    assert words in scale.source
    assert scale.source.startswith("file: ")


def test_what_holds_at_the_isocentre_alone_says_so(tmp_path):
    assert "isocentre" in of(tmp_path, **IMAGER, **DISTANCES).warning
    assert of(tmp_path, **PIXEL, PixelSpacingCalibrationType="FIDUCIAL").warning == ""


@pytest.mark.parametrize(
    "header",
    [
        {},
        IMAGER,
        PIXEL,
        IMAGER | PIXEL,
        IMAGER | {"PixelSpacing": [0.3, 0.3], "PixelSpacingCalibrationType": "FIDUCIAL"},
        PIXEL | {"PixelSpacingCalibrationType": "ELSEWHERE"},
        {"PixelSpacing": [0.2, 0.3], "PixelSpacingCalibrationType": "FIDUCIAL"},
        IMAGER | {"EstimatedRadiographicMagnificationFactor": 0.2},
        IMAGER | {"DistanceSourceToPatient": 0, "DistanceSourceToDetector": 1000},
        DISTANCES,
    ],
)
def test_a_scale_is_never_guessed(tmp_path, header):
    assert of(tmp_path, **header) is None


def test_the_beam_of_an_enhanced_file(tmp_path):
    item, shared = Dataset(), Dataset()
    item.ObjectPixelSpacingInCenterOfBeam = [0.21, 0.21]
    shared.ProjectionPixelCalibrationSequence = Sequence([item])
    scale = of(tmp_path, SharedFunctionalGroupsSequence=Sequence([shared]))
    assert scale.mm_per_px == pytest.approx(0.21)
    assert "centre of the beam" in scale.source


def test_a_png_has_no_scale(tmp_path):
    vm.write_samples(tmp_path, count=1, size=64)
    [path] = (tmp_path / "images").iterdir()
    assert scale_of(vm.read_angiogram(path).calibration) is None


def test_a_catheter_gives_the_scale_and_its_spread():
    scale = scale_from_catheter(VesselCost(tube(8.0)), [at(30), at(150)], 6)
    assert scale.mm_per_px == pytest.approx(2.0 / 8.0, rel=0.04)
    assert "6F (2.00 mm outside)" in scale.source
    assert "±" in scale.source
    assert scale.warning == ""


def test_a_catheter_that_is_no_even_tube_is_warned_of():
    scale = scale_from_catheter(VesselCost(tube(narrowed(9.0, 40))), [at(30), at(150)], 6)
    assert "varies by" in scale.warning
    assert scale.warning in vm.measure(tube(9.0), at(30), at(150), scale=scale).source


@pytest.mark.parametrize("mm", [0, -1, float("nan"), float("inf"), 40])
def test_a_scale_that_cannot_be_one_is_refused(mm):
    with pytest.raises(vm.VasoMIMError, match=r"give one from 0\.005 to 5"):
        scale_by_hand(mm)
    with pytest.raises(vm.VasoMIMError, match="size in French"):
        scale_from_catheter(VesselCost(tube(8.0)), [at(30), at(150)], 60)
    with pytest.raises(vm.VasoMIMError, match="source"):
        vm.Scale(0.2, " ")


def test_a_scale_that_the_file_contradicts_is_warned_of(tmp_path):
    of_file = of(tmp_path, **PIXEL, PixelSpacingCalibrationType="FIDUCIAL")
    assert beside_the_file(scale_by_hand(0.21), of_file).warning == ""
    assert beside_the_file(scale_by_hand(0.21), None).warning == ""
    chosen = beside_the_file(scale_by_hand(0.3), of_file)
    assert chosen.mm_per_px == 0.3
    assert "the file says 0.2000 mm per px" in chosen.warning

"""DICOM Segmentations and outlines of angiograms in DICOM: what they say, and that they come back equal."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.path import Path as Line
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from tests.core.exchange.conftest import THREE
from tests.core.labels.made import save
from tests.core.reading.files import NAMING, write_dicom
from vasomim_core.classes import LabelClass
from vasomim_core.cli import run as command
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.exchange import dicom_outlines
from vasomim_core.exchange.dicom_objects import PATIENT, from_cielab, to_cielab
from vasomim_core.exchange.formats import hand_over, labelled, recognised
from vasomim_core.exchange.importing import carry_out, import_labels, plan_import
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.mask import mask_sha256
from vasomim_core.reading import read_angiogram

SHAPE = (21, 15)
"""315 pixels, so that frames do not begin at a byte."""


def ids() -> dict[str, str]:
    return {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "StudyID": "S1"}


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (count, *SHAPE)).astype(np.uint8)


def drawn(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 7], np.uint8), SHAPE)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A run of six frames and a still, of a patient with a name."""
    folder = tmp_path / "study"
    folder.mkdir()
    write_dicom(folder / "run.dcm", frames(6), **ids(), FrameTime="66", WindowCenter="100", WindowWidth="180")
    write_dicom(folder / "still.dcm", frames(1, 9), **ids())
    return folder


@pytest.fixture
def labels(study: Path, tmp_path: Path) -> LabelSet:
    """The frames 2 and 4 of the run, frame 5 empty, and the still; and a flagged one."""
    labels = LabelSet.create(tmp_path / "set", "x", THREE)
    run = read_angiogram(study / "run.dcm")
    for index in (2, 4):
        labels.add(run.stored(index), drawn(index), frame_index=index, annotator="A", model="m" if index == 2 else None)
    labels.add(run.stored(5), drawn(5) * 0, frame_index=5, annotator="A")
    labels.add(run.stored(1), drawn(1), frame_index=1, status="flagged")
    labels.add(read_angiogram(study / "still.dcm").stored(0), drawn(7) % 2, annotator="A")
    return labels


@pytest.fixture
def seg(labels: LabelSet, study: Path, tmp_path: Path) -> Path:
    hand_over(labelled(labels.folder, images=study), "dicom-seg", tmp_path / "seg", names_patient=True)
    return tmp_path / "seg"


def of_the_run(folder: Path, study: Path) -> Dataset:
    uid = dcmread(study / "run.dcm").SeriesInstanceUID
    (found,) = (d for d in map(dcmread, folder.iterdir()) if d.ReferencedSeriesSequence[0].SeriesInstanceUID == uid)
    return found


def everything(ds: Dataset) -> str:
    return str(ds) + str(ds.file_meta)


@pytest.mark.parametrize("to", ["dicom-seg", "dicom-outlines"])
def test_a_patient_is_named_only_where_that_is_asked_for(
    labels: LabelSet, study: Path, tmp_path: Path, to: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"names the patient and the study.*--names-patient"):
        hand_over(labelled(labels.folder, images=study), to, tmp_path / "out")
    asked = ["export", str(labels.folder), "--images", str(study), "--to", to, "--output", str(tmp_path / "out")]
    assert command(asked) == 1
    assert "names the patient" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert command([*asked, "--names-patient"]) == 0
    assert "names the patient" in capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 2
    for made in map(dcmread, (tmp_path / "out").iterdir()):
        assert str(made.PatientName) == NAMING["PatientName"]
        for keyword in (*PATIENT, "StudyDate", "AccessionNumber"):
            assert str(made.get(keyword)) == NAMING.get(keyword, ""), keyword
        said = everything(made)
        for keyword in ("InstitutionName", "OperatorsName", "ReferringPhysicianName", "StationName"):
            assert NAMING[keyword] not in said
        assert NAMING["AcquisitionDateTime"] not in said
        assert str(study) not in said


@pytest.mark.parametrize("to", ["coco", "nnunet", "pairs", "png", "gif"])
def test_nothing_else_names_anybody(study: Path, labels: LabelSet, tmp_path: Path, to: Any) -> None:
    images = study if to != "gif" else study / "run.dcm"
    images = images.rename(images.with_name("Doeling^Janette" + images.suffix))
    hand_over(labelled(labels.folder, images=images), to, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert "Doe" not in path.name
        content = path.read_bytes() if path.is_file() else b""
        assert not [name for name in NAMING.values() if name.encode() in content]


def test_odd_names_are_said_as_they_are_and_to_nobody_else(
    study: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    odd = {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jürgen", "PatientSex": "a woman, it seems"}
    with disable_value_validation():
        write_dicom(study / "still.dcm", frames(1), **ids(), **odd, PatientID="4711-" * 20)
    recwarn.clear()
    save(tmp_path / "still.png", (drawn(7) % 2) * np.uint8(255))
    folder = labelled(tmp_path / "still.png", images=study / "still.dcm")
    for to in ("dicom-seg", "dicom-outlines"):
        hand_over(folder, to, tmp_path / f"{to}.dcm", names_patient=True)  # type: ignore[arg-type]
    assert not list(recwarn)
    for to in ("dicom-seg", "dicom-outlines"):
        made = dcmread(tmp_path / f"{to}.dcm")
        assert (made.PatientName, made.PatientSex) == ("Müller^Jürgen", odd["PatientSex"])
        assert made.PatientID == "4711-" * 20


def test_every_frame_refers_to_its_own(seg: Path, study: Path) -> None:
    made, source = of_the_run(seg, study), dcmread(study / "run.dcm")
    assert (made.SegmentationType, made.BitsAllocated, made.NumberOfFrames) == ("BINARY", 1, 7)
    (series,) = made.ReferencedSeriesSequence
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence] == [source.SOPInstanceUID]
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    planes = made.pixel_array.astype(bool)
    seen = []
    for place, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        (derivation,) = group.DerivationImageSequence
        (image,) = derivation.SourceImageSequence
        assert derivation.DerivationCodeSequence[0].CodeValue == "113076"
        assert image.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
        index = image.ReferencedFrameNumber - 1
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        seen.append((index, number))
        mask = drawn(index) * (index != 5)
        np.testing.assert_array_equal(planes[place], mask == THREE[number - 1].value)
    assert seen == [(2, 1), (2, 2), (2, 3), (4, 1), (4, 2), (4, 3), (5, 1)]


def test_a_segment_a_class(seg: Path, study: Path) -> None:
    segments = of_the_run(seg, study).SegmentSequence
    assert [one.SegmentLabel for one in segments] == ["main", "catheter", "twig"]
    assert [from_cielab(one.RecommendedDisplayCIELabValue) for one in segments] == [one.colour for one in THREE]
    kinds = [one.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for one in segments]
    assert kinds == ["Blood Vessel", "Catheter", "Blood Vessel"]
    assert {(one.SegmentAlgorithmType, one.SegmentAlgorithmName) for one in segments} == {("SEMIAUTOMATIC", "m")}


def test_a_still_is_referred_to_as_a_whole(seg: Path, study: Path) -> None:
    (made,) = (d for d in map(dcmread, seg.iterdir()) if d.NumberOfFrames == 1)
    (image,) = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    assert image.ReferencedSOPInstanceUID == dcmread(study / "still.dcm").SOPInstanceUID
    assert "ReferencedFrameNumber" not in image
    assert {one.SegmentAlgorithmType for one in made.SegmentSequence} == {"MANUAL"}


def test_a_set_comes_back_equal(seg: Path, labels: LabelSet, study: Path, tmp_path: Path) -> None:
    assert recognised(seg, study) == "dicom-seg"
    folder = labelled(seg, images=study)
    assert folder.classes() == THREE
    plan = plan_import(folder, labels)
    assert (plan.new, plan.same, plan.conflicting, plan.left) == ((), 4, (), ())
    back = LabelSet.create(tmp_path / "back", "back", THREE)
    import_labels(folder, back)

    def content(of: LabelSet) -> set[tuple]:
        return {
            (r.frame_sha256, r.frame_index, mask_sha256(of.class_mask(r.id), of.classes))
            for r in of.records("accepted")
        }

    assert content(back) == content(labels)
    assert {r.group for r in back.records()} == {r.group for r in back.records()} - {None}
    assert len({r.group for r in back.records()}) == 1, "of one patient"


def test_highdicom_reads_it(seg: Path, study: Path) -> None:
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed: the second reader is left out")
    source = dcmread(study / "run.dcm")
    for path in seg.iterdir():
        if dcmread(path).NumberOfFrames == 7:
            found = highdicom.seg.segread(path)
    assert found.segment_numbers == [1, 2, 3]
    assert [one.segment_label for one in found.SegmentSequence] == ["main", "catheter", "twig"]
    pixels = found.get_pixels_by_source_frame(
        source_sop_instance_uid=source.SOPInstanceUID, source_frame_numbers=[3, 5, 6], ignore_spatial_locations=True
    )
    for place, index in enumerate((2, 4, 5)):
        for number, one in enumerate(THREE):
            expected = (drawn(index) == one.value) & (index != 5)
            np.testing.assert_array_equal(pixels[place, ..., number].astype(bool), expected)


def test_masks_of_a_model_are_automatic(study: Path, tmp_path: Path) -> None:
    save(tmp_path / "still.png", (drawn(7) % 2) * np.uint8(255))
    folder = labelled(tmp_path / "still.png", images=study / "still.dcm")
    hand_over(folder, "dicom-seg", tmp_path / "one.dcm", names_patient=True)
    (segment,) = dcmread(tmp_path / "one.dcm").SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("vessel", "AUTOMATIC")
    assert [one.name for one in labelled(tmp_path / "one.dcm", images=study).classes()] == ["vessel"]


def test_what_cannot_be_referred_to(labels: LabelSet, study: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="is no DICOM file"):
        hand_over(labelled(labels.folder), "dicom-seg", tmp_path / "out", names_patient=True)
    bare = dcmread(study / "still.dcm")
    del bare.SeriesInstanceUID
    bare.save_as(study / "still.dcm")
    with pytest.raises(LabelError, match=r"still\.dcm does not say of which study and series"):
        hand_over(labelled(labels.folder, images=study), "dicom-seg", tmp_path / "out", names_patient=True)
    with pytest.raises(LabelError, match="2 angiograms"):
        hand_over(labelled(labels.folder, images=study), "dicom-seg", tmp_path / "one.dcm", names_patient=True)
    assert not (tmp_path / "out").exists()


def test_segmentations_of_others_that_do_not_fit(seg: Path, study: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no frames: name the DICOM files"):
        labelled(seg)
    other = tmp_path / "other"
    other.mkdir()
    write_dicom(other / "x.dcm", frames(6), **ids())
    with pytest.raises(LabelError, match="segmentation of none of the DICOM files"):
        plan_import(labelled(seg, images=other), None)
    path = next(path for path in seg.iterdir() if dcmread(path).NumberOfFrames == 7)

    def broken(change: Any) -> str:
        made = dcmread(path)
        change(made)
        made.save_as(tmp_path / "broken.dcm")
        with pytest.raises(LabelError) as caught:
            plan_import(labelled(tmp_path / "broken.dcm", images=study), None)
        assert not [name for name in NAMING.values() if name in str(caught.value)]
        return str(caught.value)

    first = "PerFrameFunctionalGroupsSequence"
    assert "no binary segmentation" in broken(lambda made: setattr(made, "SegmentationType", "FRACTIONAL"))
    assert "does not say of which image" in broken(lambda made: made[first][0].__delattr__("DerivationImageSequence"))
    assert "damaged" in broken(lambda made: made.__delattr__("SegmentSequence"))

    def beyond(made: Dataset) -> None:
        made[first][0].DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 9

    assert "of frame 9 of" in broken(beyond)


def test_colours_come_back() -> None:
    for colour in ("#e8413c", "#000000", "#ffffff", "#0000ff", "#3ca0e8", "#010203"):
        assert from_cielab(to_cielab(LabelClass(1, "x", colour).rgb)) == colour


# Outlines


def inside(lines: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose middle is within an odd number of lines."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    middles = np.stack([columns.ravel(), rows.ravel()], axis=1)
    return np.bitwise_xor.reduce([Line(line).contains_points(middles) for line in lines]).reshape(shape)


def test_outlines_hold_the_very_pixels(labels: LabelSet, study: Path, tmp_path: Path) -> None:
    hand_over(labelled(labels.folder, images=study), "dicom-outlines", tmp_path / "out", names_patient=True)
    made, source = of_the_run(tmp_path / "out", study), dcmread(study / "run.dcm")
    layers = {one.GraphicLayer: one for one in made.GraphicLayerSequence}
    assert [one.GraphicLayerDescription for one in layers.values()] == ["main", "catheter", "twig"]
    seen = set()
    for annotation in made.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
        index, name = image.ReferencedFrameNumber - 1, layers[annotation.GraphicLayer].GraphicLayerDescription
        lines = []
        for one in annotation.GraphicObjectSequence:
            assert (one.GraphicType, one.GraphicAnnotationUnits, one.GraphicFilled) == ("POLYLINE", "PIXEL", "N")
            points = np.reshape(one.GraphicData, (-1, 2))
            assert len(points) == one.NumberOfGraphicPoints
            assert (points[0] == points[-1]).all()
            assert (points >= 0).all()
            assert (points <= SHAPE[::-1]).all()
            lines.append(points)
        value = next(one.value for one in THREE if one.name == name)
        np.testing.assert_array_equal(inside(lines, SHAPE), drawn(index) == value)
        seen.add((index, value))
    assert seen == {(index, one.value) for index in (2, 4) for one in THREE}
    assert (made.SoftcopyVOILUTSequence[0].WindowCenter, made.PresentationLUTShape) == (100, "IDENTITY")


def test_a_line_that_is_too_long_goes_on_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    line = np.arange(42, dtype=np.float32).reshape(-1, 2)
    assert len(list(dicom_outlines._pieces(line))) == 1
    monkeypatch.setattr(dicom_outlines, "MOST_POINTS", 8)
    pieces = list(dicom_outlines._pieces(line))
    assert all(2 <= len(piece) <= 8 for piece in pieces)
    np.testing.assert_array_equal(np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])]), line)
    for before, after in pairwise(pieces):
        np.testing.assert_array_equal(before[-1], after[0])


def test_a_negative_is_shown_as_one(study: Path, tmp_path: Path) -> None:
    write_dicom(study / "still.dcm", frames(1), **ids(), PhotometricInterpretation="MONOCHROME1")
    save(tmp_path / "still.png", (drawn(7) % 2) * np.uint8(255))
    folder = labelled(tmp_path / "still.png", images=study / "still.dcm")
    hand_over(folder, "dicom-outlines", tmp_path / "one.dcm", names_patient=True)
    assert dcmread(tmp_path / "one.dcm").PresentationLUTShape == "INVERSE"


def test_a_segmentation_is_imported_as_labels_of_its_run(seg: Path, study: Path, tmp_path: Path) -> None:
    plan = plan_import(labelled(seg, images=study / "run.dcm"), None)
    assert any("1 frames" in note for note in plan.notes)
    back = LabelSet.create(tmp_path / "back", "x", plan.classes)
    carry_out(plan, back, annotator="reader 2")
    assert {(r.frame_index, r.annotator) for r in back.records()} == {(i, "reader 2") for i in (2, 4, 5)}

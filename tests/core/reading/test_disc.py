"""A disc: its table of contents leads to its images, leaves reports aside, and names nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.fileset import FileSet
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from tests.core.reading.files import NAMING, cine, write_dicom
from vasomim_core.reading import find_angiograms
from vasomim_core.reading.dicom import disc


@pytest.fixture
def burnt(tmp_path: Path) -> Path:
    """A disc with two runs and a presentation state, made by pydicom."""
    made = FileSet()
    for number in range(3):
        header = {
            "PatientName": "Doeling^Janette",
            "PatientID": "1",
            "StudyDate": "20240203",
            "StudyTime": "101112",
            "StudyID": "1",
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": f"1.2.3.{number // 2}",
            "SeriesNumber": number // 2 + 1,
            "Modality": "XA",
            "InstanceNumber": number + 1,
        }
        if number == 2:
            header |= {
                "SOPClassUID": GrayscaleSoftcopyPresentationStateStorage,
                "PresentationCreationDate": "20240203",
                "PresentationCreationTime": "101112",
                "ContentLabel": "X",
                "Modality": "PR",
            }
        path = write_dicom(tmp_path / f"{number}.dcm", cine(2), **header)
        made.add(path)
    made.write(tmp_path / "disc")
    return tmp_path / "disc"


def test_a_disc_is_its_images(burnt: Path) -> None:
    assert len([file for file in burnt.rglob("*") if file.is_file()]) == 4
    found = find_angiograms(burnt / "DICOMDIR")
    assert len(found) == 2
    assert found == find_angiograms(burnt)
    assert not disc.contents(burnt).missing
    (other,) = disc.contents(burnt).others
    assert other.is_file()
    assert other not in found


def test_names_in_small_letters_are_the_same_files(burnt: Path) -> None:
    for path in sorted(burnt.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.lower()))
    assert (burnt / "dicomdir").is_file()
    assert len(find_angiograms(burnt / "dicomdir")) == 2
    assert not disc.contents(burnt).missing


def test_an_image_that_is_not_there_is_told(burnt: Path) -> None:
    gone, kept = find_angiograms(burnt)
    gone.unlink()
    assert disc.contents(burnt).missing == (gone,)
    assert find_angiograms(burnt) == [kept]


def test_nothing_of_it_names_a_person(burnt: Path) -> None:
    find_angiograms(burnt)[0].unlink()
    said = repr(disc.contents(burnt))
    assert not [value for value in NAMING.values() if value in said]


def test_a_table_that_cannot_be_read_leaves_the_files(burnt: Path) -> None:
    table = burnt / "DICOMDIR"
    table.write_bytes(table.read_bytes()[:900])
    assert disc.contents(burnt) == disc.Contents()
    assert len(find_angiograms(table)) == 3
    assert disc.contents(burnt / "nowhere") == disc.Contents()


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_it_reaches_for_nothing_outside(tmp_path: Path) -> None:
    folder = tmp_path / "disc"
    folder.mkdir()
    listed = dcmread(write_dicom(folder / "DICOMDIR", cine(1)))
    listed.DirectoryRecordSequence = []
    for named in (["..", "SECRET"], ["/etc", "X"], ["C:", "X"], ["HERE"]):
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = named
        listed.DirectoryRecordSequence.append(record)
    listed.save_as(folder / "DICOMDIR")
    assert disc.contents(folder).missing == (folder / "HERE",)

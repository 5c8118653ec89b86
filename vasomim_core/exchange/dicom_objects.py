"""What all DICOM objects have in common that are made from masks: whose they are, and what they refer to.

An object must carry the patient and study of its source to be filed at all (PS3.3 C.7.1.1 and C.7.2.1). Of what the
source says, the required elements that identify these are copied, and no others: no physician, place or operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from vasomim_core import __version__
from vasomim_core.classes import ClassMask, LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.exchange.handover import Written, new_file, new_folder
from vasomim_core.exchange.pictures import Drawing, only
from vasomim_core.labels.sources import LabelledFolder
from vasomim_core.reading.dicom import is_dicom
from vasomim_core.reading.dicom.data_set import data_set
from vasomim_core.reading.folders import Progress

NAMES_PATIENT = "A DICOM object names the patient and the study of the angiogram that it is made from."
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
REFERRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
OF_THE_IMAGE = (
    "PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
"""What an object repeats of how its source is stored and shown."""
MAKER = "VasoMIM for napari"
SERIES = {"SEG": (9001, "Vessel segmentation"), "PR": (9002, "Vessel outlines")}
"""By modality the number of the series, beyond those of most systems, and what it is."""


@dataclass(frozen=True)
class Marked:
    """A DICOM file and its masks.

    Attributes:
        path: of the file.
        header: what is copied of it, and what refers to it.
        drawing: its frames with their masks.
    """

    path: Path
    header: Dataset
    drawing: Drawing

    @classmethod
    def of(cls, drawing: Drawing) -> Marked:
        """Read the header.

        Raises:
            LabelError: the file is none that can be referred to.
        """
        path = drawing.source.path
        if not is_dicom(path):
            raise LabelError(f"{path} is no DICOM file: name those that the masks are of, or were drawn on.")
        header = read_header(path, [*PATIENT, *STUDY, *REFERRED, *OF_THE_IMAGE])
        if not all(header.get(keyword) for keyword in (*REFERRED, "StudyInstanceUID")):
            raise LabelError(f"{path} does not say of which study and series it is: nothing can refer to it.")
        return cls(path, header, drawing)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """What the values of its masks mean."""
        return self.drawing.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, rows, columns)."""
        return self.drawing.angiogram.frames.shape

    def masks(self) -> Iterator[tuple[int, ClassMask]]:
        """The frames that have a mask, from 0, and the masks.

        Raises:
            InputError: a mask is missing or damaged.
            LabelError: a mask is of another size than its frame.
        """
        for index in self.drawing.with_mask:
            mask = self.drawing.masks.class_mask(index)
            if mask.shape != self.shape[1:]:
                raise LabelError(f"A mask of {self.path} is of another size than its frame: take its own.")
            yield index, mask

    def reference(self, index: int | None = None) -> Dataset:
        """A reference to the file, or to one of its frames, from 0 (in DICOM from 1)."""
        found = item(ReferencedSOPClassUID=self.header.SOPClassUID, ReferencedSOPInstanceUID=self.header.SOPInstanceUID)
        if index is not None and self.shape[0] > 1:
            found.ReferencedFrameNumber = index + 1
        return found

    def derived(self, sop_class: str, modality: str) -> Dataset:
        """A new object of the same patient and study, in a series of its own."""
        made, now = Dataset(), datetime.now()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.SOPClassUID, made.SOPInstanceUID = UID(sop_class), generate_uid()
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        made.SpecificCharacterSet = "ISO_IR 192"
        for keyword in (*PATIENT, *STUDY):
            setattr(made, keyword, str(self.header.get(keyword) or ""))
        made.ReferringPhysicianName = ""
        made.Modality, made.SeriesInstanceUID = modality, generate_uid()
        made.SeriesNumber, made.SeriesDescription = SERIES[modality]
        made.InstanceNumber = 1
        made.Manufacturer, made.ManufacturerModelName = MAKER, MAKER
        made.SoftwareVersions, made.DeviceSerialNumber = __version__, "0"
        made.ContentLabel, made.ContentDescription, made.ContentCreatorName = "VESSELS", SERIES[modality][1], ""
        for keyword, value in (("Date", f"{now:%Y%m%d}"), ("Time", f"{now:%H%M%S}")):
            for of in ("Series", "InstanceCreation"):
                setattr(made, of + keyword, value)
        return made


def write_objects(
    folder: LabelledFolder, output: Path, make: Callable[[Marked, Callable[[], None]], Dataset], progress: Progress
) -> Written:
    """Write an object for each DICOM file that has masks.

    Args:
        folder: what is written.
        output: a file ending in .dcm for one of them, else a folder, new or empty, for `NAME.dcm`.
        make: makes one, and calls back after each frame.
        progress: called after each frame.

    Raises:
        LabelError: a file is no DICOM file; there are several for one file; the output is there already.
        InputError: a frame or a mask is missing or damaged.
    """
    sources, done = folder.sources(), 0

    def made(drawing: Drawing, later: int) -> Dataset:
        of_this = 0

        def step() -> None:
            nonlocal done, of_this
            done, of_this = done + 1, of_this + 1
            progress(done, done + len(drawing.with_mask) - of_this + later)

        with disable_value_validation():  # what the source says is said again, be it too long
            return make(Marked.of(drawing), step)

    if output.suffix.lower() == ".dcm":
        whole = made(Drawing.of(folder, only(sources, output)), 0)
        with new_file(output) as path:
            _save(whole, path)
        return Written((output,), done, notes=(NAMES_PATIENT, *folder.notes()))
    names: list[str] = []
    with new_folder(output) as path:
        for later, source in zip(reversed(range(len(sources))), sources, strict=True):
            drawing = Drawing.of(folder, source)
            names.append(f"{len(names) + 1:04d}")
            _save(made(drawing, later), path / f"{names[-1]}.dcm")
    return Written((output,), done, tuple(names), (NAMES_PATIENT, *folder.notes()))


def _save(made: Dataset, path: Path) -> None:
    with disable_value_validation():
        made.save_as(path, enforce_file_format=True)


def read_header(path: Path, keywords: list[str]) -> Dataset:
    """These elements of a DICOM file.

    Raises:
        LabelError: it cannot be read. The message repeats none of them.
    """
    try:
        with data_set(path) as file, disable_value_validation():  # whose warnings repeat values
            header = dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(keywords))
            for element in header:
                _ = element.value  # read now, while it can be told
            return header
    except Exception:
        raise LabelError(f"{path} is damaged or no DICOM file: export or copy it again.") from None


def item(**elements: Any) -> Dataset:
    """A data set with these elements."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded entry (PS3.3 8.8)."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def to_cielab(rgb: tuple[int, int, int]) -> list[int]:
    """A colour of sRGB as DICOM writes it: CIELab of D50, each part over 16 bits (PS3.3 C.10.7.1.1)."""
    from skimage.color import rgb2lab

    light, a, b = rgb2lab(np.array([[rgb]], np.float64) / 255, illuminant="D50")[0, 0]
    return [round(light / 100 * 65535), *(round((part + 128) / 255 * 65535) for part in (a, b))]


def from_cielab(values: Any) -> str:
    """The inverse, as "#rrggbb"."""
    from skimage.color import lab2rgb

    light, a, b = (float(value) / 65535 for value in values)
    rgb = lab2rgb(np.array([[[100 * light, 255 * a - 128, 255 * b - 128]]]), illuminant="D50")[0, 0]
    return "#{:02x}{:02x}{:02x}".format(*np.rint(255 * rgb.clip(0, 1)).astype(int).tolist())

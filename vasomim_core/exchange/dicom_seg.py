"""DICOM Segmentation (PS3.3 A.51) of classic, single- or multi-frame, angiograms: BINARY, a segment for each class.

A projection has no place in space. So there is no frame of reference, and every frame has a Derivation Image that says
of which frame of which image it is, pixel for pixel: where each has one, the standard asks for no more (A.51.5.1).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage, generate_uid

from vasomim_core.classes import COLOURS, ClassMask, LabelClass, check_classes
from vasomim_core.errors import ConfigError, InputError, LabelError, VasoMIMError
from vasomim_core.exchange.dicom_objects import (
    Marked,
    code,
    from_cielab,
    item,
    read_header,
    to_cielab,
    write_objects,
)
from vasomim_core.exchange.handover import Written, nothing
from vasomim_core.labels.mask_file import Masks
from vasomim_core.labels.sources import LabelledFolder, OpenMasks, Source
from vasomim_core.reading import find_angiograms, read_angiogram, stem
from vasomim_core.reading.dicom import is_dicom
from vasomim_core.reading.folders import Progress

# Of PS3.16, CID 7150 and 7151 and those below them: category and type of a segment.
VESSEL = (("123037004", "SCT", "Anatomical Structure"), ("59820001", "SCT", "Blood Vessel"))
DEVICE = (("260787004", "SCT", "Physical object"), ("19923001", "SCT", "Catheter"))
ELSE = (("85756007", "SCT", "Tissue"), ("85756007", "SCT", "Tissue"))
DEVICES = ("catheter", "wire")
"""A class that is no vessel and has one of these in its name is a device."""
VALUE = "Class {}"
"""The description of a segment, by which the class gets back its value."""


def write_seg(folder: LabelledFolder, output: Path, progress: Progress = nothing) -> Written:
    """Write a Segmentation for each DICOM file that has masks.

    A frame is written for each class that is in a mask, and an empty one of the first class where none is: so it is
    known which frames were looked at. Segments have name and colour of their class; a name has 64 characters at most.

    Args:
        folder: what is written; its files are DICOM files.
        output: a file ending in .dcm for one of them, else a folder, new or empty.
        progress: called after each frame.

    Raises:
        LabelError: a file is no DICOM file; there are several for one file; the output is there already.
        InputError: a frame or a mask is missing or damaged.
    """
    return write_objects(folder, output, _segmentation, progress)


def _segmentation(marked: Marked, step: Callable[[], None]) -> Dataset:
    made = marked.derived(SegmentationStorage, "SEG")
    made.ImageType, made.PatientOrientation = ["DERIVED", "PRIMARY"], ""
    made.Rows, made.Columns = marked.shape[1:]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 1, 1, 0
    _say_what_was_lost(made, marked.header)
    made.SegmentationType, made.SegmentsOverlap = "BINARY", "NO"
    made.ContentDate, made.ContentTime = made.SeriesDate, made.SeriesTime
    made.SegmentSequence = [_segment(number, one, marked) for number, one in enumerate(marked.classes, 1)]
    series = item(SeriesInstanceUID=marked.header.SeriesInstanceUID)
    series.ReferencedInstanceSequence = [marked.reference()]
    made.ReferencedSeriesSequence = [series]
    organisation = generate_uid()
    made.DimensionOrganizationSequence = [item(DimensionOrganizationUID=organisation)]
    made.DimensionIndexSequence = [
        item(
            DimensionOrganizationUID=organisation,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=group,
            DimensionDescriptionLabel=words,
        )
        for pointer, group, words in ((0x0062000B, 0x0062000A, "Segment"), (0x00209057, 0x00209111, "Frame"))
    ]
    made.SharedFunctionalGroupsSequence = [Dataset()]
    groups, bits = [], _Bits()
    for rank, (index, mask) in enumerate(marked.masks(), 1):
        there = [number for number, one in enumerate(marked.classes, 1) if (mask == one.value).any()]
        for number in there or [1]:
            groups.append(_frame(marked, index, number, rank))
            bits.add(mask == marked.classes[number - 1].value)
        step()
    made.PerFrameFunctionalGroupsSequence, made.NumberOfFrames = groups, len(groups)
    made.PixelData = bits.packed()
    made["PixelData"].VR = "OB"
    return made


def _say_what_was_lost(made: Dataset, header: Dataset) -> None:
    lost = header.get("LossyImageCompression") == "01"
    made.LossyImageCompression = "01" if lost else "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod") if lost else ():
        if header.get(keyword):
            setattr(made, keyword, header.get(keyword))


def _segment(number: int, one: LabelClass, marked: Marked) -> Dataset:
    device = any(word in one.name.casefold() for word in DEVICES)
    category, kind = VESSEL if one.vessel else DEVICE if device else ELSE
    made = item(SegmentNumber=number, SegmentLabel=one.name.replace("\\", "/"))
    made.SegmentDescription = VALUE.format(one.value)
    made.SegmentedPropertyCategoryCodeSequence = [code(*category)]
    made.SegmentedPropertyTypeCodeSequence = [code(*kind)]
    source = marked.drawing.source
    if source.annotator is None:
        made.SegmentAlgorithmType = "AUTOMATIC"
    else:
        made.SegmentAlgorithmType = "MANUAL" if source.model is None else "SEMIAUTOMATIC"
    if made.SegmentAlgorithmType != "MANUAL":
        made.SegmentAlgorithmName = source.model or "unknown"
    made.RecommendedDisplayCIELabValue = to_cielab(one.rgb)
    return made


def _frame(marked: Marked, index: int, number: int, rank: int) -> Dataset:
    source = marked.reference(index)
    source.PurposeOfReferenceCodeSequence = [code("121322", "DCM", "Source image for image processing operation")]
    source.SpatialLocationsPreserved = "YES"
    derivation = item(DerivationCodeSequence=[code("113076", "DCM", "Segmentation")], SourceImageSequence=[source])
    content = item(DimensionIndexValues=[number, rank], StackID="1", InStackPositionNumber=rank)
    return item(
        DerivationImageSequence=[derivation],
        FrameContentSequence=[content],
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)],
    )


class _Bits:
    """Frames one bit a pixel, the least first, without a gap between frames (PS3.5 8.1.1)."""

    def __init__(self) -> None:
        self._whole: list[bytes] = []
        self._rest = np.zeros(0, bool)

    def add(self, mask: NDArray[np.bool_]) -> None:
        bits = np.concatenate([self._rest, mask.ravel()])
        whole = len(bits) // 8 * 8
        self._whole.append(np.packbits(bits[:whole], bitorder="little").tobytes())
        self._rest = bits[whole:]

    def packed(self) -> bytes:
        data = b"".join([*self._whole, np.packbits(self._rest, bitorder="little").tobytes()])
        return data + b"\0" * (len(data) % 2)


def is_seg(path: Path) -> bool:
    """Whether a path is a DICOM Segmentation, or a folder whose first DICOM file is one."""
    file: Path | None = path
    if path.is_dir():
        file = next((one for one in sorted(path.iterdir()) if one.is_file() and is_dicom(one)), None)
    if file is None or not file.is_file() or not is_dicom(file):
        return False
    try:
        return bool(read_header(file, ["SOPClassUID"]).get("SOPClassUID") == SegmentationStorage)
    except LabelError:
        return False


@dataclass(frozen=True)
class SegFolder:
    """A DICOM Segmentation, or a folder of them, and the DICOM files that they are of."""

    path: Path
    images: Path

    def classes(self) -> tuple[LabelClass, ...]:
        """Their segments: of equal names the first counts."""
        return self._classes

    def sources(self) -> list[Source]:
        """The images of which there is a segmentation, with the frames that have one."""
        return self._found[0]

    def masks(self) -> Mapping[str, OpenMasks]:
        """Those of the images, by the names of their files."""
        return {source.name: source.masks for source in self.sources()}

    def notes(self) -> tuple[str, ...]:
        """What is left out, one sentence each."""
        return self._found[1]

    @cached_property
    def _segmentations(self) -> list[Segmentation]:
        files = [self.path] if self.path.is_file() else sorted(one for one in self.path.iterdir() if is_seg(one))
        return [Segmentation.read(file) for file in files]

    @cached_property
    def _classes(self) -> tuple[LabelClass, ...]:
        named: dict[str, LabelClass] = {}
        for segmentation in self._segmentations:
            for one in segmentation.segments.values():
                named.setdefault(one.name.casefold(), one)
        taken: set[int] = set()
        for name, one in named.items():
            value = one.value if one.value not in taken else max(taken) + 1
            taken.add(value)
            named[name] = LabelClass(value, one.name, one.colour, one.vessel)
        try:
            return check_classes(named.values())
        except ConfigError as error:
            raise LabelError(f"{self.path} has segments that cannot be classes: {error}.") from error

    @cached_property
    def _found(self) -> tuple[list[Source], tuple[str, ...]]:
        images: dict[str, Path] = {}
        for path in find_angiograms(self.images):
            if is_dicom(path):
                header = read_header(path, ["SOPInstanceUID"])
                images[str(header.get("SOPInstanceUID"))] = path
        sources, lost = [], 0
        for segmentation in self._segmentations:
            for uid, frames in segmentation.frames.items():
                if uid not in images:
                    lost += len(frames)
                    continue
                path = images[uid]
                count = len(read_angiogram(path).frames)
                beyond = [index for index in frames if not 0 <= index < count]
                if beyond:
                    raise LabelError(f"{segmentation.path} is of frame {beyond[0] + 1} of {path}, which has {count}.")
                masks = partial(SegMasks, segmentation, uid, count, self._classes)
                sources.append(Source(stem(path), path, masks, only=tuple(sorted(frames)), annotator=""))
        if not sources:
            raise LabelError(
                f"{self.path} is a segmentation of none of the DICOM files in {self.images}: name those that it was "
                "made from."
            )
        notes = (f"{lost} frames of {self.path} are of images that are not there: they are left out.",) if lost else ()
        return sources, notes


@dataclass(frozen=True)
class Segmentation:
    """A DICOM Segmentation.

    Attributes:
        path: its file.
        segments: by number; the value of a class is that of our own objects, else the number.
        frames: by the UID of an image and the index of its frame, from 0, the places of its frames here and the numbers
            of their segments.
    """

    path: Path
    segments: Mapping[int, LabelClass]
    frames: Mapping[str, Mapping[int, list[tuple[int, int]]]]

    @classmethod
    def read(cls, path: Path) -> Segmentation:
        """Read the header.

        Raises:
            LabelError: it is damaged, or of a kind that is not known here. The message repeats nothing of it.
        """
        try:
            with open(path, "rb") as file:
                header = dcmread(file, stop_before_pixels=True)
            if header.get("SegmentationType") != "BINARY":
                raise LabelError(f"{path} is no binary segmentation: threshold it first.")
            segments = {int(one.SegmentNumber): _class(place, one) for place, one in enumerate(header.SegmentSequence)}
            return cls(path, segments, _frames(path, header))
        except VasoMIMError:
            raise
        except Exception:
            raise LabelError(f"{path} is damaged, or no segmentation of a kind that is known here.") from None

    def planes(self) -> NDArray[np.bool_]:
        """All frames, bool (n, H, W).

        Raises:
            InputError: they cannot be decoded.
        """
        try:
            planes = dcmread(self.path).pixel_array.astype(bool)
        except Exception:
            raise InputError(f"{self.path} cannot be decoded: it is damaged; export it again.") from None
        return planes[None] if planes.ndim == 2 else planes


def _class(place: int, segment: Dataset) -> LabelClass:
    """The class that a segment is.

    Raises:
        LabelError: it cannot be one.
    """
    value = re.fullmatch(VALUE.format(r"(\d+)"), str(segment.get("SegmentDescription") or ""))
    colour = segment.get("RecommendedDisplayCIELabValue")
    category = segment.SegmentedPropertyCategoryCodeSequence[0].get("CodeValue")
    try:
        return LabelClass(
            int(value[1]) if value else int(segment.SegmentNumber),
            " ".join(str(segment.SegmentLabel).split())[:40],
            COLOURS[place % len(COLOURS)] if colour is None else from_cielab(colour),
            category == VESSEL[0][0],
        )
    except ConfigError as error:
        raise LabelError(f"A segment cannot be a class: {error}.") from error


def _frames(path: Path, header: Dataset) -> dict[str, dict[int, list[tuple[int, int]]]]:
    found: dict[str, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    shared = header.SharedFunctionalGroupsSequence[0]

    def group(frame: Dataset, keyword: str) -> Any:
        return (frame.get(keyword) or shared.get(keyword) or [None])[0]

    for place, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        derivation = group(frame, "DerivationImageSequence")
        source = (derivation.get("SourceImageSequence") or [None])[0] if derivation is not None else None
        if source is None:
            raise LabelError(f"{path} does not say of which image frame {place + 1} is: it cannot be laid over one.")
        number = int(group(frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        indices = np.atleast_1d(source.get("ReferencedFrameNumber") or 1)
        for index in indices.tolist():
            found[str(source.ReferencedSOPInstanceUID)][int(index) - 1].append((place, number))
    return found


class SegMasks(Masks):
    """The masks that a segmentation has for the frames of one image."""

    def __init__(self, segmentation: Segmentation, uid: str, count: int, classes: tuple[LabelClass, ...]):
        self.classes = classes
        by_name = {one.name.casefold(): one for one in classes}
        self._class_of = {number: by_name[one.name.casefold()] for number, one in segmentation.segments.items()}
        self._frames, self._count = segmentation.frames[uid], count
        self._planes = segmentation.planes()

    def __len__(self) -> int:
        return self._count

    def class_mask(self, index: int) -> ClassMask:
        """The mask of a frame as class values, uint8 (H, W).

        Where segments overlap, a vessel lies over what is none, and the larger value over the smaller.
        """
        mask = np.zeros(self._planes.shape[1:], np.uint8)
        there = [(self._class_of[number], place) for place, number in self._frames.get(index, [])]
        for one, place in sorted(there, key=lambda pair: (pair[0].vessel, pair[0].value)):
            mask[self._planes[place]] = one.value
        return mask

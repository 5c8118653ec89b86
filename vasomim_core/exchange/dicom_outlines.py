"""Outlines as a DICOM Grayscale Softcopy Presentation State (PS3.3 A.33.1), for viewers that draw no segmentations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from vasomim_core.classes import LabelClass
from vasomim_core.exchange.dicom_objects import Marked, item, to_cielab, write_objects
from vasomim_core.exchange.handover import Written, nothing
from vasomim_core.labels.sources import LabelledFolder
from vasomim_core.reading.folders import Progress

MOST_POINTS = 8000
"""Of one line: its coordinates have 16 bits for their length, 65,535 bytes."""
STRAIGHT = 0.1
"""Points that lie on a line but for this many px are left out; corners of pixels stay, which are 0.35 px off."""


def write_outlines(folder: LabelledFolder, output: Path, progress: Progress = nothing) -> Written:
    """Write a presentation state for each DICOM file that has masks, with the outlines of each class as a layer.

    An outline runs between the pixels that are in and those that are out, so that no pixel is lost.

    Args:
        folder: what is written; its files are DICOM files.
        output: a file ending in .dcm for one of them, else a folder, new or empty.
        progress: called after each frame.

    Raises:
        LabelError: a file is no DICOM file; there are several for one file; the output is there already.
        InputError: a frame or a mask is missing or damaged.
    """
    return write_objects(folder, output, _state, progress)


def outlines(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    """The closed lines around what is in, and around its holes.

    Args:
        mask: bool (H, W).

    Returns:
        (n, 2) each, (column, row) in DICOM's PIXEL units: (0, 0) is the outer corner of the first pixel, and
        (0.5, 0.5) its middle; PS3.3 C.10.5.1.2. The last point is the first.
    """
    from skimage.measure import approximate_polygon, find_contours

    for line in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        points = approximate_polygon(line, STRAIGHT)[:, ::-1] - 0.5  # half a pixel on, one for the rim back
        yield points.clip(0, mask.shape[::-1]).astype(np.float32)


def _state(marked: Marked, step: Callable[[], None]) -> Dataset:
    made, header = marked.derived(GrayscaleSoftcopyPresentationStateStorage, "PR"), marked.header
    made.Laterality = ""  # of what is in the image, nothing is known
    made.PresentationCreationDate, made.PresentationCreationTime = made.SeriesDate, made.SeriesTime
    series = item(SeriesInstanceUID=header.SeriesInstanceUID)
    series.ReferencedImageSequence = [marked.reference()]
    made.ReferencedSeriesSequence = [series]
    made.DisplayedAreaSelectionSequence = [
        item(
            DisplayedAreaTopLeftHandCorner=[1, 1],
            DisplayedAreaBottomRightHandCorner=[marked.shape[2], marked.shape[1]],
            PresentationSizeMode="SCALE TO FIT",
            PresentationPixelAspectRatio=[1, 1],
        )
    ]
    if header.get("RescaleSlope") is not None:
        made.RescaleSlope, made.RescaleIntercept = header.RescaleSlope, header.get("RescaleIntercept", 0)
        made.RescaleType = header.get("RescaleType") or "US"
    if header.get("WindowCenter") is not None and header.get("WindowWidth") is not None:
        made.SoftcopyVOILUTSequence = [item(WindowCenter=header.WindowCenter, WindowWidth=header.WindowWidth)]
    inverse = header.get("PhotometricInterpretation") == "MONOCHROME1"
    made.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    annotations, used = [], set[int]()
    for index, mask in marked.masks():
        for one in marked.classes:
            lines = [_line(points) for line in outlines(mask == one.value) for points in _pieces(line)]
            if lines:
                used.add(one.value)
                shown = item(ReferencedImageSequence=[marked.reference(index)], GraphicLayer=_layer(one))
                shown.GraphicObjectSequence = lines
                annotations.append(shown)
        step()
    if annotations:
        made.GraphicAnnotationSequence = annotations
        drawn = [one for one in marked.classes if one.value in used]
        made.GraphicLayerSequence = [
            item(
                GraphicLayer=_layer(one),
                GraphicLayerOrder=order,
                GraphicLayerRecommendedDisplayCIELabValue=to_cielab(one.rgb),
                GraphicLayerDescription=one.name.replace("\\", "/"),
            )
            for order, one in enumerate(drawn, 1)
        ]
    return made


def _layer(one: LabelClass) -> str:
    return f"CLASS {one.value}"


def _pieces(line: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """A line in pieces that are not too long, each from where the one before ends."""
    for start in range(0, max(1, len(line) - 1), MOST_POINTS - 1):
        yield line[start : start + MOST_POINTS]


def _line(points: NDArray[np.float32]) -> Dataset:
    return item(
        GraphicAnnotationUnits="PIXEL",
        GraphicDimensions=2,
        NumberOfGraphicPoints=len(points),
        GraphicData=points.ravel().tolist(),
        GraphicType="POLYLINE",
        GraphicFilled="N",
    )

"""The kinds of folders and files that labels come and go in: a line in `INCOMING` or `OUTGOING` for each.

folder = labelled("Dataset101_Coronaries")
hand_over(folder, "coco", "out")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.exchange.coco import write_coco
from vasomim_core.exchange.dicom_objects import NAMES_PATIENT
from vasomim_core.exchange.dicom_outlines import write_outlines
from vasomim_core.exchange.dicom_seg import SegFolder, is_seg, write_seg
from vasomim_core.exchange.films import write_gif, write_mp4
from vasomim_core.exchange.handover import LabelsOnImages, MasksOfImages, Written, nothing, told_of
from vasomim_core.exchange.nnunet import NnunetFolder, is_nnunet, write_nnunet
from vasomim_core.exchange.pairs import write_pairs
from vasomim_core.exchange.pictures import PLAIN, Style, write_png_pictures, write_tiff_pictures
from vasomim_core.files import atomic
from vasomim_core.labels.arcade import is_arcade_split
from vasomim_core.labels.sources import ArcadeFolder, CuratedFolder, LabelledFolder, MaskFolder
from vasomim_core.reading.finding import LABEL_SET_INDEX
from vasomim_core.reading.folders import Progress

From = Literal["labelset", "pairs", "coco", "arcade", "nnunet", "dicom-seg", "masks"]
"""What labels can be taken from: see `INCOMING`."""
To = Literal["coco", "nnunet", "pairs", "png", "tiff", "mp4", "gif", "dicom-seg", "dicom-outlines"]
"""What labels can be handed over in: see `OUTGOING`."""


@dataclass(frozen=True)
class Incoming:
    """A kind of labelled folder.

    Attributes:
        title: what people call it.
        knows: tells whether a path is of this kind; the angiograms are None where none were named.
        open: opens it, with its angiograms and whether the categories of COCO are classes (None = as usual).
    """

    title: str
    knows: Callable[[Path, Path | None], bool]
    open: Callable[[Path, Path | None, bool | None], LabelledFolder]


def _set(path: Path, images: Path | None, categories: bool | None) -> LabelledFolder:
    return CuratedFolder(path) if images is None else LabelsOnImages(path, images)


def _masks(path: Path, images: Path | None, categories: bool | None) -> LabelledFolder:
    if images is None:
        raise LabelError(f"{path} is taken for masks: name the angiograms that they are of, too (--images).")
    return MasksOfImages(path, images)


def _is_masks(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() != ".json"


def _segmentation(path: Path, images: Path | None, categories: bool | None) -> LabelledFolder:
    if images is None:
        raise LabelError(f"{path} has no frames: name the DICOM files that it is a segmentation of, too.")
    return SegFolder(path, images)


def _of_own(kind: Callable[[Path, bool | None], LabelledFolder]) -> Callable[..., LabelledFolder]:
    """Opens what has frames of its own."""

    def opened(path: Path, images: Path | None, categories: bool | None) -> LabelledFolder:
        if images is not None:
            raise LabelError(f"{path} has frames of its own: name no angiograms beside it.")
        return kind(path, categories)

    return opened


# In the order in which they are asked.
INCOMING: Mapping[From, Incoming] = {
    "labelset": Incoming("label set", lambda path, _: (path / LABEL_SET_INDEX).is_file(), _set),
    "nnunet": Incoming("nnU-Net raw", lambda path, _: is_nnunet(path), _of_own(lambda path, _: NnunetFolder(path))),
    "coco": Incoming(
        "COCO", lambda path, _: is_arcade_split(path) and ArcadeFolder(path, None).tells_classes,
        _of_own(lambda path, categories: ArcadeFolder(path, categories is not False)),
    ),
    "arcade": Incoming(
        "ARCADE", lambda path, _: is_arcade_split(path),
        _of_own(lambda path, categories: ArcadeFolder(path, categories is True)),
    ),
    "dicom-seg": Incoming("DICOM Segmentation", lambda path, _: is_seg(path), _segmentation),
    "masks": Incoming("masks", lambda path, images: images is not None or _is_masks(path), _masks),
    "pairs": Incoming("images/ and masks/", lambda path, _: True, _of_own(lambda path, _: MaskFolder(path))),
}  # fmt: skip


@dataclass(frozen=True)
class Outgoing:
    """A kind of folder or file that labels are written to.

    Attributes:
        title: what people call it.
        write: writes it.
        ending: of a file of this kind; empty = it is always a folder.
        names_patient: it says whose it is, so that it is written only when that is asked for.
        of_files: it is of whole angiograms: the single frames of a label set do not do.
    """

    title: str
    write: Callable[[LabelledFolder, Path, Style, Progress], Written]
    ending: str = ""
    names_patient: bool = False
    of_files: bool = False


def _as_it_is(write: Callable[[LabelledFolder, Path, Progress], Written]) -> Callable[..., Written]:
    """Writes what no style changes."""
    return lambda folder, output, style, progress: write(folder, output, progress)


OUTGOING: Mapping[To, Outgoing] = {
    "coco": Outgoing("COCO", _as_it_is(write_coco)),
    "nnunet": Outgoing("nnU-Net raw", _as_it_is(write_nnunet)),
    "pairs": Outgoing("images/ and masks/", _as_it_is(write_pairs)),
    "png": Outgoing("pictures, PNG", write_png_pictures, ".png"),
    "tiff": Outgoing("pictures, TIFF", write_tiff_pictures, ".tif"),
    "mp4": Outgoing("film, MP4", write_mp4, ".mp4", of_files=True),
    "gif": Outgoing("film, GIF", write_gif, ".gif", of_files=True),
    "dicom-seg": Outgoing("DICOM Segmentation", _as_it_is(write_seg), ".dcm", True, True),
    "dicom-outlines": Outgoing("DICOM outlines (GSPS)", _as_it_is(write_outlines), ".dcm", True, True),
}


def recognised(path: Path | str, images: Path | None = None) -> From:
    """What kind of labelled folder a path is; "pairs" where it is none that is known.

    Raises:
        InputError: an annotation file that cannot be read.
        LabelError: an annotation file that is not COCO.
    """
    return next(name for name, kind in INCOMING.items() if kind.knows(Path(path), images))


def labelled(
    path: Path | str, form: From | None = None, images: Path | None = None, categories: bool | None = None
) -> LabelledFolder:
    """Open labels of any kind.

    Args:
        path: a label set, `images/` with `masks/`, COCO, ARCADE, nnU-Net raw; or masks, also as DICOM Segmentation, of
            what `images` names.
        form: what it is; None = what it looks like.
        images: an angiogram, or a folder of them: those that the masks are of, or that a label set was drawn on.
        categories: the categories of COCO are classes; else all of them are vessel together, but those whose
            supercategory is "other". None = they are, but for ARCADE.

    Raises:
        InputError: an annotation file that cannot be read.
        LabelError: angiograms are needed and not named, or the other way round; more is found when it is read.
    """
    path = Path(path)
    return INCOMING[recognised(path, images) if form is None else form].open(path, images, categories)


def hand_over(
    folder: LabelledFolder,
    to: To,
    output: Path | str,
    progress: Progress = nothing,
    style: Style = PLAIN,
    names_patient: bool = False,
    replace: bool = False,
) -> Written:
    """Write labels in another layout, as pictures, or as DICOM. All but DICOM is nameless, file names included.

    Args:
        folder: from `labelled`.
        to: the layout.
        output: where to, a new or empty folder; or a new file with the ending of its kind, where there is one.
        progress: called after each frame; what it raises ends the work, and nothing is left of it.
        style: how pictures and films are drawn.
        names_patient: a DICOM object is wanted although it names the patient and the study of its source.
        replace: a file that is there is to be replaced, as somebody has confirmed; it stays until the new one is whole.

    Raises:
        LabelError: there are no labels, they do not fit, or the output is there already or cannot be written to.
        InputError: a frame or a mask is missing or damaged.
        ConfigError: a style that cannot be; a DICOM object without `names_patient`.
    """
    if OUTGOING[to].names_patient and not names_patient:
        raise ConfigError(f"{NAMES_PATIENT} If that is meant, say so (--names-patient)")
    output = Path(output)
    if not (replace and output.is_file()):
        return OUTGOING[to].write(folder, output, style, progress)
    with told_of(output), atomic(output) as temporary:
        return OUTGOING[to].write(folder, temporary, style, progress)

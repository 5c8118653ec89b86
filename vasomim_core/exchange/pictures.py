"""Frames with their masks drawn over them, for people: PNG and TIFF; what films are made of, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from vasomim_core.classes import ClassMask, LabelClass
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.exchange.handover import Written, new_file, new_folder, nothing
from vasomim_core.figures import TINT, tinted
from vasomim_core.files import write_png
from vasomim_core.labels.mask import frame_id, pixel_sha256
from vasomim_core.labels.mask_file import Masks
from vasomim_core.labels.sources import CuratedFolder, LabelledFolder, Source
from vasomim_core.reading import Angiogram
from vasomim_core.reading.folders import Progress

Picture = NDArray[np.uint8]
"""(H, W, 3), red, green and blue."""


@dataclass(frozen=True)
class Style:
    """How masks are drawn over frames.

    Attributes:
        outline: draw the border of each class alone, in its full colour.
        frame: which frame of each angiogram, from 0; None = all.
        rate: frames a second of a film; None = that of the run.
    """

    outline: bool = False
    frame: int | None = None
    rate: float | None = None


PLAIN = Style()


def picture(
    grey: NDArray[np.uint8], mask: ClassMask, classes: tuple[LabelClass, ...], outline: bool = False
) -> Picture:
    """A frame with its mask over it, each class in its colour.

    Args:
        grey: uint8 (H, W).
        mask: uint8 (H, W), values of `classes`.
        classes: what they mean.
        outline: draw the border of each class alone.
    """
    drawn = np.repeat(grey[..., None], 3, axis=2)
    for one in classes:
        there = mask == one.value
        if not there.any():
            continue
        if outline:
            there &= ~cv2.erode(there.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        drawn = tinted(drawn, there, one.rgb, 1.0 if outline else TINT)
    return drawn


@dataclass(frozen=True)
class Drawing:
    """An angiogram with its masks, whose frames are drawn when they are asked for.

    Attributes:
        source: the file.
        angiogram: its frames.
        masks: its masks.
        classes: what their values mean.
        named: the name of the file is an id.
    """

    source: Source
    angiogram: Angiogram
    masks: Masks
    classes: tuple[LabelClass, ...]
    named: bool

    @classmethod
    def of(cls, folder: LabelledFolder, source: Source) -> Drawing:
        """Open the files.

        Raises:
            InputError: they cannot be read.
            LabelError: there are not as many masks as frames.
        """
        angiogram, masks = source.angiogram(), source.masks()
        count = len(angiogram.frames)
        if len(masks) != count:
            raise LabelError(f"There are {len(masks)} masks for the {count} frames of {source.path}: take its own.")
        return cls(source, angiogram, masks, masks.classes, isinstance(folder, CuratedFolder))

    def __len__(self) -> int:
        return len(self.angiogram.frames)

    @property
    def with_mask(self) -> tuple[int, ...]:
        """The frames that have a mask."""
        return tuple(range(len(self))) if self.source.only is None else self.source.only

    def name(self, index: int) -> str:
        """A name for files of a frame that tells nobody's: the id that a label set gives it."""
        if self.named:
            return self.source.name
        place = index if len(self) > 1 else self.source.frame_index
        return frame_id(pixel_sha256(self.angiogram.stored(index)), place)

    def picture(self, index: int, outline: bool) -> Picture:
        """A frame, with its mask where it has one.

        Raises:
            InputError: the frame or the mask cannot be read.
            LabelError: they are of different sizes.
        """
        grey = self.angiogram.grey(index)
        if index not in self.with_mask:
            return picture(grey, np.zeros(grey.shape, np.uint8), ())
        mask = self.masks.class_mask(index)
        if mask.shape != grey.shape:
            raise LabelError(f"A mask of {self.source.path} is of another size than its frame: take its own.")
        return picture(grey, mask, self.classes, outline)

    def chosen(self, style: Style) -> tuple[int, ...]:
        """The frames that have a mask and are asked for.

        Raises:
            ConfigError: the one that is asked for has none.
        """
        if style.frame is None:
            return self.with_mask
        if style.frame not in self.with_mask:
            raise ConfigError(f"frame {style.frame} of {self.source.path} has no mask; choose another, from 0")
        return (style.frame,)


def write_png_pictures(
    folder: LabelledFolder, output: Path, style: Style = PLAIN, progress: Progress = nothing
) -> Written:
    """Write each frame that has a mask as a PNG in colour.

    Args:
        folder: what is drawn.
        output: a file ending in .png for one frame, else a folder, new or empty, for `NAME.png`.
        style: how.
        progress: called after each frame.

    Raises:
        LabelError: there are no frames, several for one file, or the output is there already or cannot be written to.
        InputError: a frame or a mask is missing or damaged.
        ConfigError: the frame that is asked for has no mask.
    """
    sources = folder.sources()
    if output.suffix.lower() == ".png":
        drawing = Drawing.of(folder, only(sources, output))
        index, *more = drawing.chosen(style)
        if more:
            raise LabelError(f"{output} has room for one frame of {1 + len(more)}: say which, or name a folder.")
        with new_file(output) as made:
            write_png(made, drawing.picture(index, style.outline))
        progress(1, 1)
        return Written((output,), 1, notes=folder.notes())
    names: list[str] = []
    with new_folder(output) as made:
        for later, source in zip(reversed(range(len(sources))), sources, strict=True):
            drawing = Drawing.of(folder, source)
            for left, index in zip(reversed(range(len(drawing.chosen(style)))), drawing.chosen(style), strict=True):
                name = _unlike(drawing.name(index), names)
                write_png(made / f"{name}.png", drawing.picture(index, style.outline))
                progress(len(names), len(names) + left + later)
    return Written((output,), len(names), tuple(names), folder.notes())


def write_tiff_pictures(
    folder: LabelledFolder, output: Path, style: Style = PLAIN, progress: Progress = nothing
) -> Written:
    """Write each angiogram as a TIFF in colour, with a page for each frame that has a mask.

    Args:
        folder: what is drawn.
        output: a file ending in .tif for one angiogram, else a folder, new or empty, for `NAME.tif`.
        style: how.
        progress: called after each frame.

    Raises:
        LabelError, InputError, ConfigError: as `write_png_pictures`.
    """

    def write(path: Path, pictures: Iterator[Picture], drawing: Drawing) -> None:
        with tifffile.TiffWriter(path) as tiff:
            for page in pictures:
                tiff.write(page, compression="zlib", contiguous=False, photometric="rgb", metadata=None)

    return each_to_a_file(folder, output, (".tif", ".tiff"), lambda one: one.chosen(style), write, style, progress)


def each_to_a_file(
    folder: LabelledFolder,
    output: Path,
    endings: tuple[str, ...],
    which: Callable[[Drawing], Sequence[int]],
    write: Callable[[Path, Iterator[Picture], Drawing], None],
    style: Style,
    progress: Progress,
) -> Written:
    """Write a file for each angiogram.

    Args:
        folder: what is drawn.
        output: a file with one of the endings for one angiogram, else a folder, new or empty.
        endings: of such files, the usual one first.
        which: gives the frames to draw of an angiogram.
        write: writes the pictures of one to a path; it takes all of them.
        style: how.
        progress: called after each frame.
    """
    sources = folder.sources()
    done = 0

    def pictures(drawing: Drawing, later: int) -> Iterator[Picture]:
        nonlocal done
        for left, index in zip(reversed(range(len(which(drawing)))), which(drawing), strict=True):
            yield drawing.picture(index, style.outline)
            done += 1
            progress(done, done + left + later)

    if output.suffix.lower() in endings:
        drawing = Drawing.of(folder, only(sources, output))
        with new_file(output) as made:
            write(made, pictures(drawing, 0), drawing)
        return Written((output,), done, notes=folder.notes())
    names: list[str] = []
    with new_folder(output) as made:
        for later, source in zip(reversed(range(len(sources))), sources, strict=True):
            drawing = Drawing.of(folder, source)
            name = _unlike(drawing.name(which(drawing)[0]), names)
            write(made / f"{name}{endings[0]}", pictures(drawing, later), drawing)
    return Written((output,), done, tuple(names), folder.notes())


def only(sources: Sequence[Source], output: Path) -> Source:
    """The one file that there is.

    Raises:
        LabelError: there are several.
    """
    if len(sources) > 1:
        raise LabelError(f"{output} is one file for {len(sources)} angiograms: name a folder, without an ending.")
    return sources[0]


def _unlike(name: str, names: list[str]) -> str:
    """A name that is not among those yet; it is put there."""
    count = sum(known == name or known.startswith(f"{name}-again") for known in names)
    names.append(f"{name}-again-{count}" if count else name)
    return names[-1]

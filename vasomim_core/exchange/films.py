"""Runs with their masks drawn over them, at their own pace: MP4 and GIF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vasomim_core.classes import LabelClass
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.exchange.handover import Written, nothing
from vasomim_core.exchange.pictures import PLAIN, Drawing, Picture, Style, each_to_a_file, picture
from vasomim_core.labels.sources import LabelledFolder
from vasomim_core.reading.folders import Progress

Write = Callable[[Path, Iterator[Picture], Drawing], None]

USUAL_RATE = 15.0
"""Frames a second where a run does not tell, the usual ones of coronary angiography."""
FASTEST = 100.0
GREYS = 128
"""Of the 256 colours of a GIF; the others are for the tints of classes."""
SHORTEST_MS = 20
"""Between two frames of a GIF; browsers take less for a tenth of a second."""


def write_mp4(folder: LabelledFolder, output: Path, style: Style = PLAIN, progress: Progress = nothing) -> Written:
    """Write each run as MP4 (MPEG-4 part 2), all frames, those that have a mask with it.

    A frame of odd width or height gets a black line or column at its end, which the format needs.

    Args:
        folder: what is drawn.
        output: a file ending in .mp4 for one run, else a folder, new or empty, for `NAME.mp4`.
        style: how.
        progress: called after each frame.

    Raises:
        LabelError: there are no runs, several for one file, a still among them, or the output is there already or
            cannot be written to.
        InputError: a frame or a mask is missing or damaged.
        ConfigError: the rate is none.
    """

    def write(path: Path, pictures: Iterator[Picture], drawing: Drawing) -> None:
        first = next(pictures)
        height, width = (side + side % 2 for side in first.shape[:2])
        film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _rate(drawing, style), (width, height))
        try:
            if not film.isOpened():
                raise LabelError(f"{path.parent} cannot take an MP4, or OpenCV writes none here: take GIF, or TIFF.")
            for shown in chain([first], pictures):
                edge = ((0, height - shown.shape[0]), (0, width - shown.shape[1]), (0, 0))
                film.write(np.ascontiguousarray(np.pad(shown, edge)[..., ::-1]))
        finally:
            film.release()
        if _count(path) != len(drawing):  # a full disk is told by nothing else
            raise OSError(f"{_count(path)} of {len(drawing)} frames were written")

    return _written(folder, output, ".mp4", write, style, progress)


def write_gif(folder: LabelledFolder, output: Path, style: Style = PLAIN, progress: Progress = nothing) -> Written:
    """Write each run as a GIF that repeats: 128 grey levels, and the tints of the classes.

    Args:
        folder: what is drawn.
        output: a file ending in .gif for one run, else a folder, new or empty, for `NAME.gif`.
        style: how.
        progress: called after each frame.

    Raises:
        LabelError, InputError, ConfigError: as `write_mp4`.
    """

    def write(path: Path, pictures: Iterator[Picture], drawing: Drawing) -> None:
        colours = _palette(drawing.classes)
        images = (Image.fromarray(shown).quantize(palette=colours, dither=Image.Dither.NONE) for shown in pictures)
        first = next(images)
        pauses = durations(len(drawing), _rate(drawing, style))
        with open(path, "wb") as file:
            first.save(file, format="GIF", save_all=True, append_images=images, duration=pauses, loop=0)

    return _written(folder, output, ".gif", write, style, progress)


def durations(count: int, rate: float) -> list[int]:
    """How long each of some frames of a GIF is shown, in ms: hundredths of a second, which add up to the whole."""
    step = max(SHORTEST_MS, 1000 / rate)
    ends = [10 * round(step * place / 10) for place in range(count + 1)]
    return [later - sooner for sooner, later in pairwise(ends)]


def _written(
    folder: LabelledFolder, output: Path, ending: str, write: Write, style: Style, progress: Progress
) -> Written:
    if style.rate is not None and not 0 < style.rate <= FASTEST:
        raise ConfigError(f"the rate is {style.rate:g}; give frames a second, above 0 and up to {FASTEST:g}")
    if style.frame is not None:
        raise ConfigError("a film has all frames of a run; take PNG or TIFF for one of them")
    guessed = 0

    def frames(drawing: Drawing) -> Sequence[int]:
        if len(drawing) == 1:
            raise LabelError(
                f"{drawing.source.path} is a single frame and a film needs a run: name the runs that the masks are of."
            )
        return range(len(drawing))

    def counted(path: Path, pictures: Iterator[Picture], drawing: Drawing) -> None:
        nonlocal guessed
        guessed += style.rate is None and not drawing.angiogram.frame_time_ms
        write(path, pictures, drawing)

    written = each_to_a_file(folder, output, (ending,), frames, counted, style, progress)
    if guessed:
        runs = "1 run tells no frame rate" if guessed == 1 else f"{guessed} runs tell no frame rate"
        told = f"{runs}: {USUAL_RATE:g} frames a second are taken."
        written = replace(written, notes=(*written.notes, told))
    return written


def _rate(drawing: Drawing, style: Style) -> float:
    """Frames a second."""
    time_ms = drawing.angiogram.frame_time_ms
    return style.rate or min(1000 / time_ms if time_ms else USUAL_RATE, FASTEST)


def _palette(classes: tuple[LabelClass, ...]) -> Image.Image:
    """An image with the colours that a run drawn in these classes has, near enough."""
    levels = np.linspace(0, 255, GREYS).astype(np.uint8)[None]
    shades = np.linspace(0, 255, (256 - GREYS) // len(classes) - 1).astype(np.uint8)[None]
    rows = [picture(levels, np.zeros_like(levels), ())]
    rows += [picture(shades, np.full_like(shades, one.value), (one,)) for one in classes]
    rows += [picture(shades[:, :1], np.full((1, 1), one.value, np.uint8), (one,), outline=True) for one in classes]
    colours = np.concatenate(rows, axis=1)[0][:256]
    found = Image.new("P", (1, 1))
    found.putpalette(colours.tobytes())
    return found


def _count(path: Path) -> int:
    """The frames in a film."""
    film = cv2.VideoCapture(str(path))
    try:
        return round(film.get(cv2.CAP_PROP_FRAME_COUNT)) if film.isOpened() else 0
    finally:
        film.release()

"""Files become image layers: one for each angiogram, whose frames are decoded when they are looked at.

Layers keep scale 1. All that a file knows is the pixel spacing at the detector, which the beam magnifies by an unknown
factor: shown as millimetres it would be wrong, so lengths stay in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vasomim.canvas import layers
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.canvas.opening import when_added, work_through_when_added
from napari_vasomim.notify import report_error, warn
from vasomim_core.anatomy.fullest import fullest_frame
from vasomim_core.errors import VasoMIMError
from vasomim_core.reading import SUFFIXES, Angiogram, Frames, GreyLevels, find_angiograms, read_angiogram, stem
from vasomim_core.reading.dicom import is_dicom
from vasomim_core.reading.dicom.disc import is_table_of_contents
from vasomim_core.reading.grey import Window, window_limits
from vasomim_core.reading.levels import AS_IN_THE_FILE

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[Any]]

# What napari understands as "read, and nothing to show": the person has been told why.
NOTHING: list[Any] = [(None,)]
MOST_FILES = 32
KEPT_FRAMES = 8
STATED = {
    "spacing": "the size of its pixels",
    "calibration": "the size of its pixels",
    "frame_time_ms": "the time between frames",
    "angles": "the angles of the C-arm",
    "stated_window": "a display window",
    "inverted": "a word on whether they are stored inverted",
    "has_alpha": "an alpha channel",
}
"""What a file may say of a run, and how a person calls it."""


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Answer napari whether we read this path: a file, a folder, or files to be stacked.

    Args:
        path: as napari gives it.

    Returns:
        `read`, or None for a file that is neither of a known suffix nor DICOM by its content.
    """
    first = Path(path if isinstance(path, str) else path[0])
    known = first.is_dir() or first.suffix.lower() in SUFFIXES or is_dicom(first)
    return read if known else None


def read(path: str | Sequence[str]) -> list[Any]:
    """Read angiograms as napari's layer data.

    What cannot be read is told in one sentence in the notification area, and the rest is opened.

    Args:
        path: a file; a folder, whose files become a layer each, or if they are many a queue that is worked through
            one by one; or several files, which become one stack (t, y, x)
            if they are single frames of equal size, else a layer each.

    Returns:
        (data, keyword arguments, "image") for each layer. `data` is (y, x), or (t, y, x) read lazily. The layer's
        `metadata["vasomim"]` are its `AngiogramFacts`.
    """
    given = [path] if isinstance(path, str) else list(path)
    opened: list[Angiogram] = []
    found: list[Any] = []
    for part in given:
        try:
            several = Path(part).is_dir() or is_table_of_contents(part)
            files = find_angiograms(part) if several else [Path(part)]
            if len(files) > MOST_FILES:
                found += _queued(Path(part), files)
                continue
        except Exception as error:
            report_error(error)
            continue
        for file in files:
            try:
                opened.append(read_angiogram(file))
            except Exception as error:
                report_error(error)
    told = ""
    if len(opened) == len(given) > 1 and one_stack(opened):
        stack, told = stacked(opened)
        opened = [stack]
    for angiogram in opened:
        try:
            found.append(layer_data(angiogram))
            for note in filter(None, (told, *angiogram.notes)):
                warn(note)
        except Exception as error:
            report_error(error)
    return found or NOTHING


def _queued(folder: Path, files: list[Path]) -> list[LayerData]:
    """The first angiogram of many; its viewer works through the others one by one, each opened when its turn comes.

    Raises:
        InputError: none of them can be read.
    """
    for file in files:
        try:
            made = layer_data(read_angiogram(file), find_fullest=False)
        except VasoMIMError as error:
            problem = error
            continue
        work_through_when_added(made[0], folder, len(files))
        return [made]
    raise problem


def layer_data(angiogram: Angiogram, chosen: GreyLevels = AS_IN_THE_FILE, find_fullest: bool = True) -> LayerData:
    """An angiogram as napari's layer data; its viewer moves to the fullest frame soon after the layer is there.

    Args:
        angiogram: what was read.
        chosen: how a person wants its frames to be seen.
        find_fullest: False leaves the viewer where it is; no event loop is then needed, so that any thread may call.

    Raises:
        InputError: no frame can be decoded.
    """
    shown = ShownFrames(angiogram.frames, angiogram.source)
    known = AngiogramFacts.of_file(angiogram, chosen)
    limits = contrast_limits(angiogram, known.levels.window)
    data: Any = shown if len(shown) > 1 else shown[0]
    if find_fullest:
        when_added(data, (lambda: fullest_frame(angiogram.frames)) if len(shown) > 1 else None)
    return (
        data,
        {"name": name_of(angiogram), "rgb": False, "contrast_limits": limits, "metadata": {layers.KEY: known}},
        "image",
    )


def name_of(angiogram: Angiogram) -> str:
    """The file's stem; for DICOM, whose file name may name a person, XA and the C-arm angles."""
    if not is_dicom(angiogram.source):
        return stem(angiogram.source)
    return " ".join(["XA", *angulation(angiogram.angles)])


def angulation(angles: tuple[float, float] | None) -> list[str]:
    """C-arm angles as people say them: ["LAO 30", "CRA 20"]; ["AP"] where both are 0."""
    if angles is None:
        return []
    primary, secondary = (round(angle) for angle in angles)
    words = [f"{'LAO' if primary > 0 else 'RAO'} {abs(primary)}" if primary else "AP"]
    if secondary:
        words.append(f"{'CRA' if secondary > 0 else 'CAU'} {abs(secondary)}")
    return words


def contrast_limits(angiogram: Angiogram, window: Window | None) -> tuple[float, float]:
    """Grey levels shown black and white: those of the window, else the 0.5th and 99.5th percentile of three frames.

    Raises:
        InputError: none of the three can be decoded.
    """
    if window is not None and window[1] > 1:
        return window_limits(window)
    count = len(angiogram.frames)
    levels = []
    for index in sorted({0, count // 2, count - 1}):
        try:
            levels.append(np.percentile(angiogram.frames[index], (0.5, 99.5)))
        except VasoMIMError as error:
            damaged = error
    if not levels:
        raise damaged
    low, high = float(min(low for low, _ in levels)), float(max(high for _, high in levels))
    return low, max(high, low + 1)


class ShownFrames(Frames):
    """Frames for the canvas, the last few kept; one that cannot be read is black, for an error would stop the canvas.

    Attributes:
        true: the same frames for all work, where one that cannot be read is an error.
    """

    def __init__(self, frames: Frames, source: Path):
        read = lru_cache(maxsize=KEPT_FRAMES)(frames.__getitem__)
        told = set[int]()

        def show(index: int) -> NDArray[Any]:
            try:
                return read(index)
            except VasoMIMError as error:
                if index not in told:
                    told.add(index)
                    warn(f"{error} It is shown black.")
                return np.zeros(frames.shape[1:], frames.dtype)

        super().__init__(show, frames.shape, frames.dtype, source)
        self.true = Frames(read, frames.shape, frames.dtype, source)


def one_stack(angiograms: list[Angiogram]) -> bool:
    first = angiograms[0].frames
    return all(a.frames.shape == (1, *first.shape[1:]) and a.frames.dtype == first.dtype for a in angiograms)


def stacked(angiograms: list[Angiogram]) -> tuple[Angiogram, str]:
    """Single frames as one run, as a cine is often exported.

    Returns:
        The run, of which is known what all files say alike; and a sentence about what they do not, "" if there is none.
    """
    first = angiograms[0]
    shape = (len(angiograms), *first.frames.shape[1:])
    frames = Frames(lambda index: angiograms[index].frames[0], shape, first.frames.dtype, first.source)
    alike = {fact for fact in STATED if all(getattr(one, fact) == getattr(first, fact) for one in angiograms)}
    run = Angiogram(frames, first.source, **{fact: getattr(first, fact) for fact in alike})
    apart = list(dict.fromkeys(words for fact, words in STATED.items() if fact not in alike))
    if not apart:
        return run, ""
    listed = ", ".join(apart)
    return run, f"These {len(angiograms)} files are one run now, which is left without {listed}: there they differ."

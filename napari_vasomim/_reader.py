"""Files become image layers: one for each angiogram, whose frames are decoded when they are looked at.

Layers keep scale 1. All that a file knows is the pixel spacing at the detector, which the beam magnifies by an unknown
factor: shown as millimetres it would be wrong, so lengths stay in pixels.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_vasomim.canvas import frames, layers
from napari_vasomim.canvas.canvas import Canvas
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.napari_compat import viewers
from napari_vasomim.notify import inform, report_error, warn
from vasomim_core.anatomy import sato
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.reading import SUFFIXES, Angiogram, Frames, GreyLevels, find_angiograms, read_angiogram, stem
from vasomim_core.reading.dicom import is_dicom
from vasomim_core.reading.grey import Window, window_limits
from vasomim_core.reading.levels import AS_IN_THE_FILE

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[Any]]

# What napari understands as "read, and nothing to show": the person has been told why.
NOTHING: list[Any] = [(None,)]
MOST_FILES = 32
# Frames and longer side in px that finding the fullest frame looks at: 0.1 s on one core.
SEARCHED_FRAMES, SEARCHED_SIDE = 24, 192
SEARCHED_SIGMAS = (1.0, 2.0)
KEPT_FRAMES = 8


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
        path: a file; a folder, whose files become a layer each; or several files, which become one stack (t, y, x)
            if they are single frames of equal size, else a layer each.

    Returns:
        (data, keyword arguments, "image") for each layer. `data` is (y, x), or (t, y, x) read lazily. The layer's
        `metadata["vasomim"]` are its `AngiogramFacts`.
    """
    given = [path] if isinstance(path, str) else list(path)
    opened: list[Angiogram] = []
    for part in given:
        try:
            files = find_angiograms(part) if Path(part).is_dir() else [Path(part)]
            if len(files) > MOST_FILES:
                raise InputError(
                    f"{part} holds {len(files)} angiograms; open up to {MOST_FILES} at once, "
                    "or make a label set of them."
                )
        except Exception as error:
            report_error(error)
            continue
        for file in files:
            try:
                opened.append(read_angiogram(file))
            except Exception as error:
                report_error(error)
    if len(opened) == len(given) > 1 and _one_stack(opened):
        opened = [_stacked(opened)]
    found = []
    for angiogram in opened:
        try:
            found.append(layer_data(angiogram))
            for note in angiogram.notes:
                warn(note)
        except Exception as error:
            report_error(error)
    return found or NOTHING


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
        _when_added(data, (lambda: fullest_frame(angiogram.frames)) if len(shown) > 1 else None)
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


def fullest_frame(frames: Frames) -> int | None:
    """The frame with most vessel in it, among at most 24 spread over the run; None if none can be decoded.

    Each is reduced to 192 px and filtered at two scales. What its own noise would give is taken off: a frame with less
    dose has no more vessel in it. The catheter and the ribs are in all of them.
    """
    best, most = None, -1.0
    for index in np.unique(np.linspace(0, len(frames) - 1, SEARCHED_FRAMES).round().astype(int)):
        try:
            frame = np.float32(frames[int(index)])
        except VasoMIMError:
            continue
        shrink = min(1.0, SEARCHED_SIDE / max(frame.shape))
        frame = cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        vessel = sato(frame, sigmas=SEARCHED_SIGMAS) - _noise(frame) * _response_to_noise()
        if (amount := float(vessel.clip(min=0).mean())) > most:
            best, most = int(index), amount
    return best


def _noise(frame: NDArray[np.float32]) -> float:
    """The standard deviation of the noise of a frame (H, W), in its grey levels.

    Source: Immerkær, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 64(2), 1996, eq. 4.
    """
    mask = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32)
    rough = cv2.filter2D(frame, cv2.CV_32F, mask, borderType=cv2.BORDER_REFLECT)
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(rough).mean())


@cache
def _response_to_noise() -> float:
    """What the filter hardly ever exceeds on noise of standard deviation 1."""
    noise = np.random.default_rng(0).standard_normal((SEARCHED_SIDE, SEARCHED_SIDE)).astype(np.float32)
    return float(np.percentile(sato(noise, sigmas=SEARCHED_SIGMAS), 99))


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


def _one_stack(angiograms: list[Angiogram]) -> bool:
    first = angiograms[0].frames
    return all(a.frames.shape == (1, *first.shape[1:]) and a.frames.dtype == first.dtype for a in angiograms)


def _stacked(angiograms: list[Angiogram]) -> Angiogram:
    """Single frames as one run, as a cine is often exported."""
    first = angiograms[0]
    shape = (len(angiograms), *first.frames.shape[1:])
    frames = Frames(lambda index: angiograms[index].frames[0], shape, first.frames.dtype, first.source)
    return Angiogram(frames, first.source, angles=first.angles, stated_window=first.stated_window)


def show_when_added(data: Any, index: int) -> None:
    """Move to frame `index` once the layer with this `data` is in the viewer."""
    _when_added(data, lambda: index)


def _when_added(data: Any, find: Callable[[], int | None] | None) -> None:
    """Once the layer with this `data` is there, find a frame off the GUI's thread and show it.

    A reader does not know its viewer and returns before its layer exists, hence the look back from the event loop.
    The person may have moved on by the time the frame is found: then nothing moves.
    """
    try:
        from napari.qt.threading import create_worker
        from qtpy.QtCore import QCoreApplication, QTimer
    except ImportError:
        return
    if QCoreApplication.instance() is None:
        return

    def added() -> None:
        viewer, layer = _where(data)
        if viewer is None or layer is None or _is_open_already(viewer, layer):
            return
        _widen_contrast(layer)
        if find is None:
            return
        canvas = Canvas.known(viewer)
        before = canvas.position(layer) if canvas is not None else frames.current_index(viewer, layer)
        window, place = weakref.ref(viewer), weakref.ref(layer)

        def found(index: int | None) -> None:
            viewer, layer = window(), place()
            if viewer is None or layer is None or layer not in viewer.layers or index is None:
                return
            layers.set_facts(layer, replace(layers.facts(layer), fullest_frame=index))
            if canvas is not None and canvas.position(layer) == before:
                canvas.go_to(layer, index)
            elif canvas is None and frames.current_index(viewer, layer) == before:
                frames.show_frame(viewer, layer, index)

        create_worker(find, _start_thread=True, _connect={"returned": found})

    QTimer.singleShot(0, added)


def _is_open_already(viewer: Any, layer: Image) -> bool:
    """Whether the same file is open in this viewer; then that layer is shown, and the new one goes.

    Only here is it known in which window a file was opened.
    """
    path = layers.facts(layer).path
    known = layers.opened_from(viewer, path, besides=layer) if path else None
    if known is None:
        return False
    layers.remove(viewer, layer)
    if (canvas := Canvas.known(viewer)) is not None:
        canvas.brought.emit(known)
    known.visible = True
    viewer.layers.selection.active = known
    inform(f"{known.name} is open already.")
    return True


def _where(data: Any) -> tuple[Any, Any]:
    """The viewer and the layer that show `data`: a file may be dropped on a window that is not the active one."""
    for viewer in viewers():
        for layer in viewer.layers:
            if layer.data is data:
                return viewer, layer
    return None, None


def _widen_contrast(layer: Image) -> None:
    """Let the sliders reach every grey level: napari takes the limits that a reader gives for their ends, too."""
    frame = layer.data if layer.ndim == 2 else layer.data[len(layer.data) // 2]
    low, high = layer.contrast_limits
    layer.contrast_limits_range = (min(low, float(frame.min())), max(high, float(frame.max())))

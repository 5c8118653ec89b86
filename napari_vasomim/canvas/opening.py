"""What follows once a layer that was read is in its viewer: the same file is not open twice, and a frame is shown.

A reader does not know its viewer and returns before its layer exists, hence the look back from the event loop.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Image

from napari_vasomim.canvas import frames, layers
from napari_vasomim.canvas.canvas import Canvas
from napari_vasomim.napari_compat import viewers
from napari_vasomim.notify import inform


def show_when_added(data: Any, index: int) -> None:
    """Move to frame `index` once the layer with this `data` is in the viewer."""
    when_added(data, lambda: index)


def when_added(data: Any, find: Callable[[], int | None] | None) -> None:
    """Once the layer with this `data` is there, find a frame off the GUI's thread and show it.

    The person may have moved on by the time the frame is found: then nothing moves. Without an event loop nothing
    follows at all.

    Args:
        data: what the layer shows, by identity.
        find: gives the frame, or None where there is none to go to; runs in a thread. None = stay.
    """

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

        from napari.qt.threading import create_worker

        create_worker(find, _start_thread=True, _connect={"returned": found})

    _soon(added)


def work_through_when_added(data: Any, folder: Path, count: int) -> None:
    """Once the layer with this `data` is there, have its viewer work through the folder that it is of.

    Args:
        data: what the layer shows, by identity.
        folder: of angiograms.
        count: how many there are.
    """

    def added() -> None:
        viewer, layer = _where(data)
        if viewer is None or layer is None:
            return
        if not _is_open_already(viewer, layer):
            _widen_contrast(layer)
        canvas = Canvas.known(viewer)
        if canvas is not None and len(canvas.folder_opened):
            canvas.folder_opened.emit(folder)
        else:
            inform(
                f"The folder holds {count} angiograms, and the first is open. Open the Workbench (Plugins ▸ VasoMIM), "
                "then the folder again, to work through all of them."
            )

    _soon(added)


def _soon(action: Callable[[], None]) -> None:
    """Do something once napari has added what a reader gave; nothing without an event loop."""
    try:
        from qtpy.QtCore import QCoreApplication, QTimer
    except ImportError:
        return
    if QCoreApplication.instance() is not None:
        QTimer.singleShot(0, action)


def _is_open_already(viewer: Any, layer: Image) -> bool:
    """Whether the same file is open in this viewer; then that layer is shown, and the new one goes.

    Only here is it known in which window a file was opened.
    """
    path = layers.facts(layer).path
    known = layers.opened_from(viewer, path, besides=layer) if path else None
    # A run that was made of stills bears the path of the first of them.
    if known is None or frames.frame_count(known) != frames.frame_count(layer):
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

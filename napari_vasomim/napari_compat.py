"""The parts of napari that are private, or differ from version to version, and that the plugin cannot do without.

Nothing else of the plugin touches them. Each was seen to hold with napari 0.9.2.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import Any, Literal

import napari


def unwrap(thing: Any) -> Any:
    """The viewer or layer itself, if napari handed out a proxy of it.

    Panels get one, which hides what is private; two proxies of one viewer are two objects.
    """
    return getattr(thing, "__wrapped__", thing)


def viewers() -> list[Any]:
    """All viewers with a window, the active one first.

    A reader does not know the viewer that it reads for, and a file may be dropped on a window that is not the active
    one: `napari.current_viewer` alone does not do.
    """
    active = napari.current_viewer()
    others = [viewer for viewer in getattr(napari.Viewer, "_instances", ()) if viewer is not active]
    return [active, *others] if active is not None else others


def main_window(viewer: Any) -> Any:
    """The QMainWindow of a viewer, None where it has none: the parent of questions, and whose closing is watched."""
    return getattr(getattr(viewer, "window", None), "_qt_window", None)


def canvas_widget(viewer: Any) -> Any:
    """The widget that is drawn on, whose size the whole frame is fitted to."""
    return viewer.window._qt_viewer.canvas.native


def camera(viewer: Any) -> Any:
    """What looks at the canvas; napari 0.9 has moved it."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def grid(viewer: Any) -> Any:
    """The grid in which layers lie side by side; napari 0.9 has moved it."""
    return getattr(viewer, "canvas", viewer).grid


def keep_graphics_apart(viewer: Any) -> None:
    """Have OpenGL work on the canvas of this viewer's window whenever a layer goes, or many come or go at once.

    When layers go, napari 0.9.2 deletes what they had in the memory of graphics without asking for its own context
    first: with two windows, under PyQt5, it deletes what has the same numbers in the other one, which ends the program
    at its next drawing (`_clean_and_update_scenegraph` in napari/_vispy/canvas.py).
    """
    alive = weakref.ref(viewer)
    viewer.layers.events.removing.connect(lambda event: _make_current(alive()))
    if hasattr(viewer.layers.events, "begin_batch"):  # not in every napari
        viewer.layers.events.begin_batch.connect(lambda event: _make_current(alive()))


def _make_current(viewer: Any) -> None:
    with contextlib.suppress(AttributeError, RuntimeError):  # there is no window, or it has gone
        viewer.window._qt_viewer.canvas._scene_canvas.set_current()


def set_playback_rate(viewer: Any, axis: int, rate: float) -> None:
    """Play along an axis at a rate in frames per second; napari has one setting for all runs, and each slider its own.

    Nothing happens without a window, or where the axis has no slider.
    """
    with contextlib.suppress(AttributeError, IndexError, RuntimeError):
        viewer.window._qt_viewer.dims.slider_widgets[axis].fps = rate


def play_or_pause(viewer: Any, axis: int) -> None:
    """Play along an axis, or stop what is played. Nothing happens without a window."""
    with contextlib.suppress(AttributeError, IndexError, RuntimeError):
        dims = viewer.window._qt_viewer.dims
        if dims.is_playing:
            dims.stop()
        else:
            dims.play(axis, dims.slider_widgets[axis].fps)


def text_overlay(viewer: Any) -> Any:
    """The text on the canvas; napari 0.9 has moved it."""
    return viewer.canvas.overlays.text if hasattr(viewer, "canvas") else viewer.text_overlay


def show_colorbar(layer: Any) -> None:
    """Have a layer's colours explained on the canvas, for as long as the layer is there; not in every napari."""
    if hasattr(layer, "colorbar"):
        layer.colorbar.visible = True


def history(layer: Any, which: Literal["undo", "redo"]) -> Any:
    """The steps that can be undone or redone in a Labels layer, the next one last; None where they cannot be seen.

    The journal writes down what an undo changes, and no event tells of one.
    """
    return getattr(layer, f"_{which}_history", None)


def own_keys(layer: Any) -> list[str]:
    """The keys that napari and others have bound for a layer of this kind, as people write them: "Shift+A"."""
    maps = [layer.keymap, *(vars(kind).get("class_keymap", {}) for kind in type(layer).__mro__)]
    return sorted({str(key) for keymap in maps for key in keymap if key is not Ellipsis})

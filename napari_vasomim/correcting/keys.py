"""The keys of a correction layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from napari.layers import Labels, Layer

from napari_vasomim.correcting.drawn_classes import DrawnClasses
from napari_vasomim.correcting.tools.spec import CLASS_TOOLS, GROW, NAPARI_TOOLS, VESSEL_TOOLS
from napari_vasomim.correcting.tools.toolbox import VesselTools
from napari_vasomim.notify import report_errors

KEYS = {spec.key: spec.summary for spec in (*VESSEL_TOOLS, GROW, *NAPARI_TOOLS)} | {
    "Z": "move the view",
    "[  ]": "brush size",
    "Ctrl+Z": "undo (jumps to the frame)",
    "Backspace": "take the last traced piece back",
    "Esc": "end the trace",
    "A": "accept and go on",
}
"""What the panel lists: those that `bind_keys` binds, and napari's."""
CLASS_KEYS = {spec.key: spec.summary for spec in CLASS_TOOLS} | {
    "1 … 9": "choose a class",
    "B": "let brush, eraser and fill change other classes, or not",
}
"""Those that come with several classes. By itself, napari has 1 to 7 for its tools; most have a letter, too."""


def bind_keys(layer: Labels, tools: VesselTools, actions: Mapping[str, Callable[[], Any]]) -> None:
    """Bind the keys of the vessel tools, Backspace and Esc while one is up, and those of further actions.

    Args:
        layer: that has to be selected.
        tools: of the layer.
        actions: by key.
    """
    for spec in VESSEL_TOOLS:
        bind_key(layer, spec.key, partial(tools.take, spec.name))
    for key, action in actions.items():
        bind_key(layer, key, action)

    def tool_changed(tool: str | None) -> None:
        """Without a tool of ours, Esc is napari's: it gives up a stroke or a polygon."""
        for key, action in {"Backspace": tools.step_back, "Escape": tools.end}.items():
            if tool is not None:
                bind_key(layer, key, action)
            else:
                layer.bind_key(key, None)

    tools.changed.connect(tool_changed)


def bind_class_keys(layer: Labels, tools: VesselTools, classes: DrawnClasses) -> None:
    """Bind the keys of several classes while there are several: the first nine by number, and their tools.

    A binding of the layer itself comes before napari's for all Labels layers, and leaves it as it was once it goes.
    """
    actions: dict[str, Callable[[], Any]] = {spec.key: partial(tools.take, spec.name) for spec in CLASS_TOOLS}
    actions |= {str(number + 1): partial(classes.choose, number) for number in range(9)}

    def classes_changed() -> None:
        for key, action in actions.items():
            if classes.palette.several:
                bind_key(layer, key, action)
            else:
                layer.bind_key(key, None)

    classes.changed.connect(classes_changed)
    classes_changed()


def bind_key(layer: Layer, key: str, action: Callable[[], Any]) -> None:
    """Have a key do something while a layer is selected; errors become sentences."""
    guarded = report_errors(action)

    def pressed(_: Layer) -> Callable[[], None]:
        guarded()
        return _released

    layer.bind_key(key, pressed, overwrite=True)


def _released() -> None:
    """When a key goes up: else napari would do what its own binding left for that, and put an earlier tool back."""

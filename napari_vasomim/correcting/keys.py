"""The keys that a tool has on its own layer while it is up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Labels, Layer

from napari_vasomim.correcting.tools.toolbox import VesselTools
from napari_vasomim.notify import report_errors


def bind_tool_keys(layer: Labels, tools: VesselTools) -> None:
    """Bind Backspace and Esc while one of the vessel tools is up; without one, they are napari's."""

    def tool_changed(tool: str | None) -> None:
        for key, action in {"Backspace": tools.step_back, "Escape": tools.end}.items():
            if tool is not None:
                bind_key(layer, key, action)
            else:
                layer.bind_key(key, None)

    tools.changed.connect(tool_changed)


def bind_key(layer: Layer, key: str, action: Callable[[], Any]) -> None:
    """Have a key do something while a layer is selected; errors become sentences."""
    guarded = report_errors(action)

    def pressed(_: Layer) -> Callable[[], None]:
        guarded()
        return _released

    layer.bind_key(key, pressed, overwrite=True)


def _released() -> None:
    """When a key goes up: else napari would do what its own binding left for that, and put an earlier tool back."""

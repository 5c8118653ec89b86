"""Python as on a server: with this folder in PYTHONPATH neither napari nor Qt is found, nor in child processes."""

from __future__ import annotations

from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

ABSENT = {
    "PyQt5",
    "PyQt6",
    "PySide2",
    "PySide6",
    "magicgui",
    "napari",
    "npe2",
    "psygnal",
    "pyqtgraph",
    "qtpy",
    "superqt",
}
found = PathFinder.find_spec


@classmethod
def find_spec(cls: type[PathFinder], fullname: str, *where: Any) -> ModuleSpec | None:
    """Nothing for what is absent, and for the rest what Python finds."""
    return None if fullname.partition(".")[0] in ABSENT else found(fullname, *where)


PathFinder.find_spec = find_spec

"""The keys of the workbench: the one table that shortcuts, buttons, the list that `?` shows, and the guide are made of.

Those of ours are no keys that napari has for its viewer, images or labels layers, nor the system's. Where a layer of
somebody else is selected, points or shapes, napari's own keys for it come first (see `shortcuts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Bound = Literal["window", "layer", "napari"]


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: of what it does, by which code knows it.
        key: as Qt writes it; for those that are not bound in the window, as people do.
        what: it does, for the list of keys.
        where: the group of the list that it stands in.
        bound: "window" = by us, wherever the focus is but in a field for text; "layer" = by us, on the layer that a
            tool works on, while it is up; "napari" = by napari, while the correction is selected.
        held: it does something as long as it is down.
        repeats: it does it again and again while it is down.
    """

    name: str
    key: str
    what: str
    where: str
    bound: Bound = "window"
    held: bool = False
    repeats: bool = False


FRAMES, TOOLS, DOUBTFUL, READERS, CLASSES, RUNS, VIEW, OTHERS = (
    "Frame by frame",
    "Tools",
    "Doubtful branches",
    "Two readers",
    "Several classes",
    "Runs",
    "The view",
    "Napari's own, and while a tool is up",
)

KEYS = (
    Key("accept", "A", "accept and go on", FRAMES),
    Key("skip", "S", "skip and go on", FRAMES),
    Key("flag", "Shift+S", "flag and go on", FRAMES),
    Key("next", "N", "next frame of the queue", FRAMES),
    Key("previous", "Shift+N", "frame before in the queue", FRAMES),
    Key("segment", "I", "segment this frame", FRAMES),
    Key("start", "Shift+I", "start from the prediction", FRAMES),
    Key("trace", "T", "trace a vessel", TOOLS),
    Key("join", "J", "join a branch to what is drawn", TOOLS),
    Key("remove", "R", "remove a piece, with Shift+click a branch", TOOLS),
    Key("cut", "K", "cut across", TOOLS),
    Key("grow", "G", "grow to the probability", TOOLS),
    Key("doubtful", "D", "show the next doubtful branch, leave this one", DOUBTFUL),
    Key("is vessel", "Q", "it is a vessel: keep it, or draw it", DOUBTFUL),
    Key("is none", "W", "it is none: remove it, or leave it out", DOUBTFUL),
    Key("take first", "Shift+Q", "settle the label as the first reader has drawn it", READERS),
    Key("take second", "Shift+W", "settle the label as the second reader has drawn it", READERS),
    Key("class", "1 … 9", "choose a class", CLASSES),
    Key("recolour piece", "U", "give a piece the chosen class", CLASSES),
    Key("recolour branch", "Shift+U", "give a branch the chosen class", CLASSES),
    Key("play", "Shift+P", "play, or stop", RUNS),
    Key("frame on", ".", "one frame on", RUNS, repeats=True),
    Key("frame back", ",", "one frame back", RUNS, repeats=True),
    Key("next run", "Shift+R", "next angiogram that is open", RUNS),
    Key("hide", "H", "hold: see the angiogram alone", VIEW, held=True),
    Key("keys", "?", "this list", VIEW),
    Key("paint", "P", "brush", OTHERS, "napari"),
    Key("erase", "E", "eraser", OTHERS, "napari"),
    Key("fill", "F", "fill", OTHERS, "napari"),
    Key("brush size", "[  ]", "brush size", OTHERS, "napari"),
    Key("protect", "B", "let brush, eraser and fill change other classes, or not", OTHERS, "napari"),
    Key("move", "Z", "move the view", OTHERS, "napari"),
    Key("undo", "Ctrl+Z", "undo (jumps to the frame)", OTHERS, "napari"),
    Key("step back", "Backspace", "take the last piece of a trace, or point of a measure, back", OTHERS, "layer"),
    Key("end", "Esc", "end the trace, give up the measure", OTHERS, "layer"),
)
"""In the order of the list."""

_BY_NAME = {one.name: one for one in KEYS}


def key_of(name: str) -> str:
    """The key by the name of what it does."""
    return _BY_NAME[name].key


def sequences(name: str) -> tuple[str, ...]:
    """What Qt is told of a key of the window; a range stands for several, each with a name of its own: `class 1`."""
    base, _, number = name.rpartition(" ")
    key = number if base in _BY_NAME and number.isdigit() else key_of(name)
    return (key, f"Shift+{key}") if key == "?" else (key,)  # with or without, by the keyboard


def by_place(keys: Sequence[Key] = KEYS) -> dict[str, list[Key]]:
    """The keys in the groups of the list."""
    groups: dict[str, list[Key]] = {}
    for one in keys:
        groups.setdefault(one.where, []).append(one)
    return groups


def with_key(words: str, name: str) -> str:
    """The words of a button, with the key that does the same."""
    return f"{words}  ({key_of(name)})"


def as_markdown() -> str:
    """The table of the guide."""
    rows = ["| | key | |", "|---|---|---|"]
    for where, group in by_place().items():
        for place, one in enumerate(group):
            written = " ".join(f"`{part}`" for part in one.key.split() if part != "…")
            written = written.replace("` `9`", "` … `9`")
            rows.append(f"| {where if place == 0 else ''} | {written} | {one.what} |")
    return "\n".join(rows)

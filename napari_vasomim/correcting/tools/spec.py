"""What each tool is: the one table that buttons, keys, tooltips, help lines and previews are made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ToolSpec:
    """One tool as a person meets it.

    Attributes:
        name: by which it is taken up; of a tool of napari's, the mode of the layer.
        key: that takes it up while the correction layer is selected.
        title: on its button.
        summary: what it is for, in the list of keys.
        help: how it is used: the tooltip of its button, and the line below the buttons while it is up.
        colour: of its preview; None where nothing is seen before a click.
    """

    name: str
    key: str
    title: str
    summary: str
    help: str
    colour: str | None = None


ADDS, TAKES = "#63ff8f", "#ff4d6d"

TRACE = ToolSpec(
    "trace",
    "T",
    "Trace",
    "trace a vessel",
    "Click along a vessel; the path that lights up is what the next click paints. Right click or Esc ends it, "
    "Backspace takes the last piece back.",
    ADDS,
)
JOIN = ToolSpec(
    "join",
    "J",
    "Join",
    "join a branch to what is drawn",
    "Click the far end of a missed branch; the path that lights up, from what is drawn already, is painted.",
    ADDS,
)
REMOVE = ToolSpec(
    "remove",
    "R",
    "Remove",
    "remove a piece",
    "Click a piece to remove all of it, or with Shift its branch under the pointer alone; red is what goes.",
    TAKES,
)
CUT = ToolSpec("cut", "C", "Cut", "cut across", "Drag across a vessel; red is what is erased.", TAKES)
VESSEL_TOOLS = (TRACE, JOIN, REMOVE, CUT)

RECOLOUR_PIECE = ToolSpec(
    "recolour piece",
    "U",
    "Piece",
    "give a piece the chosen class",
    "Click a piece to give all of it, as far as it is of one class, the chosen class.",
    ADDS,
)
RECOLOUR_BRANCH = ToolSpec(
    "recolour branch",
    "Y",
    "Branch",
    "give a branch the chosen class",
    "Click a branch to give it, and what hangs on it alone, the chosen class.",
    ADDS,
)
CLASS_TOOLS = (RECOLOUR_PIECE, RECOLOUR_BRANCH)
"""For several classes, and so shown only where there are."""

NAPARI_TOOLS = (
    ToolSpec("paint", "P", "Brush", "brush", "Hold the left button and draw; [ and ] change the brush."),
    ToolSpec("erase", "E", "Eraser", "eraser", "Hold the left button and erase; [ and ] change the eraser."),
    ToolSpec("fill", "F", "Fill", "fill", "Click an enclosed area to fill it."),
)
"""napari binds their keys itself."""

GROW = ToolSpec(
    "grow", "G", "Grow", "grow to the probability", "Adds connected vessel from the model's probability; undoable"
)
"""Done at once, without the pointer."""

TOOLS = {spec.name: spec for spec in (*VESSEL_TOOLS, *NAPARI_TOOLS)}
"""All that can be taken up whatever the classes, in the order of their buttons."""

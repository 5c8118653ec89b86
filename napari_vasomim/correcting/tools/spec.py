"""What each tool is: the one table that buttons, tooltips, help lines and previews are made from."""

from __future__ import annotations

from dataclasses import dataclass

from napari_vasomim.keys import key_of


@dataclass(frozen=True)
class ToolSpec:
    """One tool as a person meets it.

    Attributes:
        name: by which it is taken up; of a tool of napari's, the mode of the layer.
        title: on its button.
        help: how it is used: the tooltip of its button, and the line below the buttons while it is up.
        colour: of its preview; None where nothing is seen before a click.
    """

    name: str
    title: str
    help: str
    colour: str | None = None

    @property
    def key(self) -> str:
        """What takes it up."""
        return key_of(self.name)


ADDS, TAKES = "#63ff8f", "#ff4d6d"

TRACE = ToolSpec(
    "trace",
    "Trace",
    "Click along a vessel; the path that lights up is what the next click paints. Right click or Esc ends it, "
    "Backspace takes the last piece back.",
    ADDS,
)
JOIN = ToolSpec(
    "join",
    "Join",
    "Click the far end of a missed branch; the path that lights up, from what is drawn already, is painted.",
    ADDS,
)
REMOVE = ToolSpec(
    "remove",
    "Remove",
    "Click a piece to remove all of it, or with Shift its branch under the pointer alone; red is what goes.",
    TAKES,
)
CUT = ToolSpec("cut", "Cut", "Drag across a vessel; red is what is erased.", TAKES)
VESSEL_TOOLS = (TRACE, JOIN, REMOVE, CUT)

RECOLOUR_PIECE = ToolSpec(
    "recolour piece",
    "Piece",
    "Click a piece to give all of it, as far as it is of one class, the chosen class.",
    ADDS,
)
RECOLOUR_BRANCH = ToolSpec(
    "recolour branch",
    "Branch",
    "Click a branch to give it, and what hangs on it alone, the chosen class.",
    ADDS,
)
CLASS_TOOLS = (RECOLOUR_PIECE, RECOLOUR_BRANCH)
"""For several classes, and so shown only where there are."""

NAPARI_TOOLS = (
    ToolSpec("paint", "Brush", "Hold the left button and draw; [ and ] change the brush."),
    ToolSpec("erase", "Eraser", "Hold the left button and erase; [ and ] change the eraser."),
    ToolSpec("fill", "Fill", "Click an enclosed area to fill it."),
)
"""napari binds their keys itself."""

GROW = ToolSpec("grow", "Grow", "Adds connected vessel from the model's probability; undoable")
"""Done at once, without the pointer."""

TOOLS = {spec.name: spec for spec in (*VESSEL_TOOLS, *NAPARI_TOOLS)}
"""All that can be taken up whatever the classes, in the order of their buttons."""

"""Correct a prediction: napari's brush, eraser and fill, and vessel tools; every stroke is journalled."""

from __future__ import annotations

import weakref
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QGridLayout, QMessageBox, QPushButton, QVBoxLayout

from napari_vasomim import layers
from napari_vasomim.correcting import strokes
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import KEYS, Editor, editor_of, journal
from napari_vasomim.correcting.tools import HELP
from napari_vasomim.correcting.unfinished import Entry, discard, restore, unfinished
from napari_vasomim.notify import inform
from napari_vasomim.plain import Marked, confirmed, message_box
from napari_vasomim.widgets.forms import Fold
from napari_vasomim.widgets.kit import SPACE, Panel, button, hint, row, slider
from vasomim_core.errors import InputError

COLUMNS = 3
OURS = {"trace": "Trace", "join": "Join", "remove": "Remove", "cut": "Cut"}
NAPARIS = {"paint": "Brush", "erase": "Eraser", "fill": "Fill"}
NAPARIS_HELP = {
    "paint": "Hold the left button and draw; [ and ] change the brush.",
    "erase": "Hold the left button and erase; [ and ] change the eraser.",
    "fill": "Click an enclosed area to fill it.",
}
PLAIN_HELP = "Take up a tool, or press its key while the correction layer is selected."


class CorrectPanel(Panel):
    """Start from the prediction, take up a tool, draw."""

    title = "Correct"
    purpose = "Make the mask right; no stroke is ever lost."

    def build(self) -> None:
        """Make the widgets."""
        self.offer = Offer(self)
        self.body.addWidget(self.offer)
        self.section("Correction")
        self.begin = button(
            "Start from prediction", self.start_from_prediction, "Copies the prediction into the correction", True
        )
        self.empty = button("Start empty", self.start_empty, "Makes an empty correction layer to draw on")
        self.body.addLayout(row(self.begin, self.empty))
        self.state = hint()
        self.body.addWidget(self.state)

        self.section("Tools")
        grid = QGridLayout()
        grid.setSpacing(SPACE)
        self.tools: dict[str, QPushButton] = {}
        keys = {"trace": "T", "join": "J", "remove": "R", "cut": "C", "paint": "P", "erase": "E", "fill": "F"}
        for place, (name, words) in enumerate((OURS | NAPARIS).items()):
            made = button(f"{words}  ({keys[name]})", partial(self.take, name), HELP.get(name) or NAPARIS_HELP[name])
            made.setCheckable(True)
            made.setStyleSheet(
                "QPushButton:checked { background: palette(highlight); color: palette(highlighted-text); }"
            )
            self.tools[name] = made
            grid.addWidget(made, place // COLUMNS, place % COLUMNS)
        self.body.addLayout(grid)
        self.help = hint(PLAIN_HELP)
        self.help.setMinimumHeight(3 * self.help.fontMetrics().height())
        self.help.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.body.addWidget(self.help)
        form = self.section("Grow to the probability")
        self.threshold = slider(0.02, 0.98, 0.5, 0.01, "Adds what the model sees at this probability and touches")
        self.threshold.valueChanged.connect(self._threshold_moved)
        form.addRow("down to", self.threshold)
        self.grow = button("Grow  (G)", self._grow, "Adds connected vessel from the model's probability; undoable")
        form.addRow(self.grow)
        self.undo = button("Undo", partial(self._step, "undo"), "Ctrl+Z; jumps to the frame that changes")
        self.redo = button("Redo", partial(self._step, "redo"), "Ctrl+Shift+Z")
        self.body.addLayout(row(self.undo, self.redo))
        fold = Fold("Keys")
        listed = Marked("<table cellspacing=2>" + "".join(f"<tr><td><b>{k}</b>&nbsp;&nbsp;</td><td>{v}</td></tr>"
                                                           for k, v in KEYS.items()) + "</table>")  # fmt: skip
        fold.body.addWidget(listed)
        self.body.addWidget(fold)

        self._editor: Editor | None = None
        self._followed: weakref.WeakSet[Labels] = weakref.WeakSet()
        for signal in (
            self.session.angiogram_changed,
            self.session.frame_changed,
            self.session.drawn,
            self.session.predicted,
        ):
            self.follow(signal, self._refresh)
        self.follow(self.session.drawn, self._offer_what_was_deleted)
        self._refresh()
        self.offer.look()

    @property
    def correction(self) -> Labels | None:
        """The correction layer of the angiogram worked on."""
        source = self.session.angiogram
        return None if source is None else layers.labels_of(self.viewer, "correction", source)

    def need_correction(self) -> Labels:
        """The correction layer, made if there is none.

        Raises:
            InputError: no angiogram is open.
        """
        made = ensure_correction(self.viewer, self.session.need_angiogram())
        self._refresh()
        return made

    # Starting

    def start_from_prediction(self) -> None:
        """Copy the prediction of the shown frame into the correction; asks before anything drawn is replaced.

        Raises:
            InputError: this frame was not segmented.
        """
        source, index = self.session.need_angiogram(), self.session.index
        prediction = self.session.predictions.get(source)
        if prediction is None or index not in prediction:
            raise InputError("This frame has no prediction yet; segment it first (Segment panel).")
        layer = self.need_correction()
        mask = prediction.mask(index)
        drawn = np.asarray(layer.data if layer.ndim == 2 else layer.data[index]) > 0
        if drawn.any() and not (drawn == mask).all():
            answer = self._ask_replace()
            if answer == "cancel":
                return
            mask = mask | drawn if answer == "add" else mask
        strokes.apply_values(layer, None if layer.ndim == 2 else index, mask.astype(np.uint8))
        layers.tag(layer, "correction", model=prediction.model)
        self._show_correction(layer)

    def start_empty(self) -> None:
        """Make the correction layer, with nothing in it that was not drawn."""
        self._show_correction(self.need_correction())

    def _show_correction(self, layer: Labels) -> None:
        shown = layers.find(self.viewer, "prediction", self.session.need_angiogram())
        if shown is not None:
            shown.visible = False  # two masks on top of each other cannot be told apart
        strokes.show(layer)
        self.viewer.layers.selection.active = layer
        self._refresh()

    def _ask_replace(self) -> str:
        box = message_box(
            self,
            "This frame has a correction",
            "Replace what is drawn on this frame with the prediction? Either can be undone.",
        )
        replace = box.addButton("Replace", QMessageBox.ButtonRole.AcceptRole)
        add = box.addButton("Add to it", QMessageBox.ButtonRole.ActionRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec_()
        return {replace: "replace", add: "add"}.get(box.clickedButton(), "cancel")

    # Tools

    def take(self, name: str) -> None:
        """Take up a tool, ours or napari's; the same one again puts it down."""
        layer = self.need_correction()
        editor = editor_of(self.session, layer)
        self._show_correction(layer)
        if name in OURS:
            editor.tools.take(name)  # type: ignore[arg-type]
        else:
            editor.tools.take(None)
            layer.selected_label = 1
            layer.mode = "pan_zoom" if layer.mode == name else name
        self._show_tool()

    def _grow(self) -> None:
        layer = self.need_correction()
        editor_of(self.session, layer).grow()

    def _step(self, which: str) -> None:
        layer = self.correction
        if layer is not None:
            getattr(layer, which)()
            self._refresh()

    def _threshold_moved(self, value: float) -> None:
        if self._editor is not None:
            self._editor.grow_threshold = float(value)

    def _show_tool(self, *_: Any) -> None:
        layer = self.correction
        ours = self._editor.tools.tool if self._editor is not None else None
        mode = str(layer.mode) if layer is not None else ""
        for name, made in self.tools.items():
            made.setChecked(name == (ours or mode))
        self.help.setText(HELP.get(ours or "") or NAPARIS_HELP.get(mode, PLAIN_HELP))

    # State

    def _refresh(self, *_: Any) -> None:
        source, layer = self.session.angiogram, self.correction
        there = source is not None
        for widget in (self.begin, self.empty, self.grow, *self.tools.values()):
            widget.setEnabled(there)
        self.undo.setEnabled(layer is not None and strokes.undo_depth(layer) > 0)
        self.redo.setEnabled(layer is not None and strokes.redo_depth(layer) > 0)
        self._editor = editor_of(self.session, layer) if layer is not None else None
        if layer is not None and self._editor is not None:
            self._editor.grow_threshold = self.threshold.value()
            if layer not in self._followed:
                self._followed.add(layer)
                self.follow(self._editor.tools.changed, self._show_tool)
                self.follow(self._editor.unsaved_changed, self._refresh)
                self.follow(layer.events.mode, self._show_tool)
        self._show_tool()
        self.state.setText(self._sentence(layer))

    def _offer_what_was_deleted(self, layer: Labels | None) -> None:
        if layer is None:
            self.offer.look()

    def _sentence(self, layer: Labels | None) -> str:
        if self.session.angiogram is None:
            return "No angiogram is open: drop a file onto the window, or use File ▸ Open Sample."
        if layer is None or self._editor is None:
            return "Nothing is drawn yet."
        drawn = self._editor.tools.mask.any()
        saved = self.session.index not in self._editor.unsaved
        here = "This frame: nothing drawn" if not drawn else f"This frame: {'kept' if saved else 'drawn, not accepted'}"
        others = len(self._editor.unsaved - {self.session.index})
        if not others:
            return f"{here}."
        return f"{here}; {others} other frame{'s are' if others > 1 else ' is'} not accepted."


class Offer(QFrame):
    """Offers back what an earlier session left unfinished."""

    def __init__(self, panel: CorrectPanel):
        super().__init__(panel)
        self._panel = panel
        self._entry: Entry | None = None
        self.setFrameShape(QFrame.Shape.StyledPanel)
        layout = QVBoxLayout(self)
        self.text = hint()
        layout.addWidget(self.text)
        self.restore = button("Restore", self._restore, "Opens the angiogram again and puts the strokes on it", True)
        self.discard = button("Discard", self._discard, "Removes these strokes")
        self.later = button("Later", self.hide, "Asks again at the next start")
        layout.addLayout(row(self.restore, self.discard, self.later))
        self.hide()

    def look(self) -> None:
        """Show the latest unfinished work, if there is any."""
        found = unfinished(journal().folder)
        self._entry = found[0] if found else None
        self.setVisible(bool(found))
        if self._entry is not None:
            entry = self._entry
            older = len(found) - 1
            more = f" {older} older one{'s wait' if older > 1 else ' waits'} too." if older else ""
            self.text.setText(
                f"Unfinished work on {entry.about.get('angiogram', 'an angiogram')} "
                f"from {entry.when:%d %b, %H:%M}: {entry.strokes} strokes on {len(entry.frames)} "
                f"frame{'s' if len(entry.frames) != 1 else ''} were not accepted.{more}"
            )

    def _restore(self) -> None:
        entry, session = self._entry, self._panel.session
        if entry is None:
            return
        about = entry.about
        source = self._source(about)
        if source is None:
            raise InputError(
                f"The angiogram {about.get('angiogram')!r} is not open; open it, then press Restore again."
            )
        session.angiogram = source
        old = layers.labels_of(session.viewer, "correction", source)
        data = restore(entry)
        if old is not None and np.asarray(old.data).any():
            raise InputError("This angiogram has a correction already; accept or delete that layer, then restore.")
        if old is not None:
            session.viewer.layers.remove(old)
        layer = ensure_correction(session.viewer, source, data, entry)
        layers.tag(layer, "correction", model=about.get("model"))
        if entry.frames:
            layers.show_frame(session.viewer, layer, entry.frames[-1])
        inform(f"{entry.strokes} strokes are back.")
        self._panel._show_correction(layer)
        self.look()

    def _source(self, about: dict[str, Any]) -> Any:
        """The angiogram of the entry: one that is open and fits, else read from its file again."""
        viewer = self._panel.viewer

        path = about.get("path")

        def fits(layer: Any) -> bool:
            return (list(layers.frame_size(layer)), layers.frame_count(layer)) == (about["frame"], about["frames"])

        def known(layer: Any) -> bool:
            """By its file, for a layer may be renamed; by its name where there is no file."""
            source = layers.facts(layer).get("source")
            return str(source) == path if path and source else layer.name == about["angiogram"]

        for layer in layers.angiograms(viewer):
            if known(layer) and fits(layer):
                return layer
        if path and Path(path).exists():
            for layer in viewer.open(path, plugin="napari-vasomim"):
                if layers.is_angiogram(layer) and fits(layer):
                    return layer
        return None

    def _discard(self) -> None:
        entry = self._entry
        if entry is None:
            return
        if confirmed(self, "Discard", f"Discard these {entry.strokes} strokes for good?"):
            discard(entry)
            self.look()

"""Correct a prediction: napari's brush, eraser and fill, and vessel tools; every stroke is journalled."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QMessageBox, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_vasomim.correcting import undo
from napari_vasomim.correcting.desk import CorrectingDesk
from napari_vasomim.correcting.editing import Editor, editor_of
from napari_vasomim.correcting.tools.spec import CLASS_TOOLS, GROW, TOOLS, ToolSpec
from napari_vasomim.keys import key_of, with_key
from napari_vasomim.plain import message_box, plain_label
from napari_vasomim.rhythm.doubtful import Doubtful
from napari_vasomim.widgets.class_choice import ClassChoice
from napari_vasomim.widgets.follow_run import FollowRun
from napari_vasomim.widgets.kit import SPACE, Panel, button, hint, row, slider
from napari_vasomim.widgets.strangers import Strangers
from napari_vasomim.widgets.unfinished_work import Offer
from vasomim_core.classes import ClassMask, LabelClass, recoded
from vasomim_core.errors import InputError

COLUMNS = 3
HELP = {spec.name: spec.help for spec in (*TOOLS.values(), *CLASS_TOOLS)}
PLAIN_HELP = f"Take up a tool, or press its key; {key_of('keys')} lists all keys."


class CorrectPanel(Panel):
    """Start from the prediction, take up a tool, draw."""

    title = "Correct"
    purpose = "Make the mask right; no stroke is ever lost."
    keys = MappingProxyType({"start": "start_from_prediction"})

    def build(self) -> None:
        """Make the widgets."""
        self.desk = CorrectingDesk.of(self.viewer)
        if not self.embedded:  # the workbench has it above all panels
            self.offer = Offer(self.session, self.show_correction)
            self.body.addWidget(self.offer)
        self.section("Correction")
        self.begin = button(
            "Start from prediction",
            self.start_from_prediction,
            with_key("Copies the prediction into the correction", "start"),
            True,
        )
        self.empty = button("Start empty", self.start_empty, "Makes an empty correction layer to draw on")
        self.body.addLayout(row(self.begin, self.empty))
        self.state = hint()
        self.state.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.body.addWidget(self.state)
        self.strangers = Strangers()
        self.body.addWidget(self.strangers)
        self.run = FollowRun(self.session, self.take_proposal)
        self.body.addWidget(self.run)

        self.section("Tools")
        self.classes = ClassChoice(self.desk.choose_class)
        self.body.addWidget(self.classes)
        grid = QGridLayout()
        grid.setSpacing(SPACE)
        self.tools: dict[str, QPushButton] = {}
        for place, spec in enumerate(TOOLS.values()):
            self.tools[spec.name] = self._tool_button(spec)
            grid.addWidget(self.tools[spec.name], place // COLUMNS, place % COLUMNS)
        self.body.addLayout(grid)
        self.recolour = QWidget()
        line = row(plain_label("Recolour a"), *(self._tool_button(spec) for spec in CLASS_TOOLS))
        self.recolour.setLayout(line)
        self.body.addWidget(self.recolour)
        self.help = hint(PLAIN_HELP)
        self.help.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.body.addWidget(self.help)
        self._build_doubtful()
        form = self.section("Grow to the probability")
        self.threshold = slider(0.02, 0.98, 0.5, 0.01, "Adds what the model sees at this probability and touches")
        self.threshold.valueChanged.connect(self._threshold_moved)
        form.addRow("down to", self.threshold)
        self.grow = button(with_key(GROW.title, GROW.name), self.desk.grow, GROW.help)
        form.addRow(self.grow)
        self.undo = button("Undo", partial(self._step, "undo"), "Ctrl+Z; jumps to the frame that changes")
        self.redo = button("Redo", partial(self._step, "redo"), "Ctrl+Shift+Z")
        self.body.addLayout(row(self.undo, self.redo))
        self._editor: Editor | None = None
        self._threshold_set = False
        self._followed: weakref.WeakSet[Labels] = weakref.WeakSet()
        for signal in (
            self.session.angiogram_changed,
            self.session.frame_changed,
            self.session.drawn,
            self.session.predicted,
            self.session.classes_changed,
            self.session.class_chosen,
            self.desk.shown,
        ):
            self.follow(signal, self._refresh)
        self._refresh()

    def _build_doubtful(self) -> None:
        self.section("Doubtful branches")
        self.doubtful = Doubtful.of(self.viewer)
        self.next_doubtful = button(
            with_key("Next", "doubtful"), self.doubtful.next, "Show the branch of which the model is least sure"
        )
        self.is_vessel = button(
            with_key("Vessel", "is vessel"), self.doubtful.keep, "It stays, or is drawn; then the next one"
        )
        self.is_none = button(
            with_key("None", "is none"), self.doubtful.remove, "It is removed, or left out; then the next one"
        )
        self.body.addLayout(row(self.next_doubtful, self.is_vessel, self.is_none))
        self.about_branch = hint()
        self.body.addWidget(self.about_branch)
        self.follow(self.doubtful.changed, self._show_doubtful)
        self._show_doubtful()

    def _show_doubtful(self) -> None:
        self.about_branch.setText(self.doubtful.message)
        for widget in (self.is_vessel, self.is_none):
            widget.setEnabled(self.doubtful.shown is not None)

    @property
    def correction(self) -> Labels | None:
        """The correction layer of the angiogram worked on."""
        return self.desk.correction

    # Starting

    def start_from_prediction(self) -> None:
        """Copy the prediction of the shown frame into the correction; asks before anything drawn is replaced.

        Raises:
            InputError: this frame was not segmented.
        """
        source, index = self.session.need_shown()
        prediction = self.session.predictions.get(source)
        if prediction is None or index not in prediction:
            raise InputError("This frame has no prediction yet; segment it first (Segment panel).")
        self._begin(index, prediction.class_mask(index), prediction.classes, prediction.said_by)

    def take_proposal(self) -> None:
        """Copy what following found in the shown frame into the correction; asks before anything drawn is replaced.

        Raises:
            InputError: nothing was found there.
        """
        source, index = self.session.need_shown()
        found, one = self.run.following.proposals(source), self.run.following.shown(source, index)
        if found is None or one is None:
            raise InputError("This frame has no proposal that could be taken.")
        self._begin(index, one.mask, found.anchors.classes, found.provenance())

    def _begin(self, index: int, mask: ClassMask, classes: Sequence[LabelClass], model: str) -> None:
        """Begin the correction of a frame with what was found in it."""
        layer = self.desk.need_correction()
        editor = editor_of(self.session, layer)
        values = recoded(mask, classes, editor.classes.palette.classes)
        editor.withdraw()
        drawn = editor.frame.plane
        whole = True
        if drawn.any() and not np.array_equal(drawn, values):
            answer = self._ask_replace()
            if answer == "cancel":
                return
            whole = answer != "add"
            values = values if whole else np.where(drawn != 0, drawn, values)
        changed = undo.apply_values(layer, None if layer.ndim == 2 else index, values)
        editor.propose(index, model, taken=whole and (changed > 0 or editor.is_draft(index)))
        self.show_correction(layer)

    def start_empty(self) -> None:
        """Make the correction layer, with nothing in it that was not drawn: a draft goes."""
        if (editor := self.desk.editor) is not None:
            editor.withdraw()
        self.show_correction(self.desk.need_correction())

    def show_correction(self, layer: Labels) -> None:
        """Have the correction seen, alone, and get the keys."""
        self.desk.show(layer)

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

    def _tool_button(self, spec: ToolSpec) -> QPushButton:
        made = button(with_key(spec.title, spec.name), partial(self.take, spec.name), spec.help)
        made.setCheckable(True)
        made.setStyleSheet("QPushButton:checked { background: palette(highlight); color: palette(highlighted-text); }")
        self.tools[spec.name] = made
        return made

    def take(self, name: str) -> None:
        """Take up a tool, ours or napari's; the same one again puts it down."""
        try:
            self.desk.take(name)
        finally:
            self._show_tool()  # the button that was pressed may stand for a tool that was refused

    def _step(self, which: str) -> None:
        layer = self.correction
        if layer is not None:
            getattr(layer, which)()
            self._refresh()

    def _threshold_moved(self, value: float) -> None:
        self._threshold_set = True
        if self._editor is not None:
            self._editor.grow_threshold = float(value)

    def _show_tool(self, *_: Any) -> None:
        layer = self.correction
        ours = self._editor.tools.tool if self._editor is not None else None
        up = ours or (str(layer.mode) if layer is not None else "")
        for name, made in self.tools.items():
            made.setChecked(name == up)
        self.help.setText(HELP.get(up, PLAIN_HELP))

    def _show_words(self, words: str) -> None:
        """Of a tool that is up, which class it takes or makes at the pointer."""
        up = self._editor.tools.tool if self._editor is not None else None
        self.help.setText(f"{words} {HELP[up]}" if up else PLAIN_HELP)

    # State

    def _refresh(self, *_: Any) -> None:
        source, layer = self.session.angiogram, self.correction
        there = source is not None
        for widget in (self.begin, self.empty, self.grow, self.next_doubtful, *self.tools.values()):
            widget.setEnabled(there)
        self.undo.setEnabled(layer is not None and undo.undo_depth(layer) > 0)
        self.redo.setEnabled(layer is not None and undo.redo_depth(layer) > 0)
        self._editor = editor_of(self.session, layer) if layer is not None else None
        if layer is not None and self._editor is not None:
            self._editor.grow_threshold = self.threshold.value() if self._threshold_set else None
            if layer not in self._followed:
                self._followed.add(layer)
                self.follow(self._editor.tools.changed, self._show_tool)
                self.follow(self._editor.tools.said, self._show_words)
                self.follow(self._editor.classes.changed, self._refresh)
                self.follow(self._editor.unsaved_changed, self._refresh)
                self.follow(layer.events.mode, self._show_tool)
        palette = self.desk.palette
        self.classes.set_palette(palette)
        self.recolour.setVisible(palette.several)
        # What stands below must not move with the words.
        self.help.setMinimumHeight((4 if palette.several else 3) * self.help.fontMetrics().height())
        self.strangers.show_of(self._editor, self.session.classes)
        self._show_threshold()
        self._show_tool()
        self.state.setText(self._sentence(layer))
        needed = self.state.heightForWidth(self.state.width()) if self.isVisible() else 0
        self.state.setMinimumHeight(max(needed, 2 * self.state.fontMetrics().lineSpacing()))

    def _show_threshold(self) -> None:
        """The model's own, until the person has moved it."""
        source = self.session.angiogram
        prediction = self.session.predictions.get(source) if source is not None else None
        if prediction is not None and not self._threshold_set:
            with signals_blocked(self.threshold):
                self.threshold.setValue(prediction.threshold)

    def _sentence(self, layer: Labels | None) -> str:
        if self.session.angiogram is None:
            return "No angiogram is open: drop a file onto the window, or use File ▸ Open Sample."
        if layer is None or self._editor is None:
            return "Nothing is drawn yet."
        if self._editor.draft == self.session.index:
            model = self._editor.models[self.session.index]
            return f"This frame: a draft by {model}, which nobody has touched. It is a label once it is accepted."
        drawn = self._editor.frame.mask.any()
        saved = self.session.index not in self._editor.unsaved
        here = "This frame: nothing drawn" if not drawn else f"This frame: {'kept' if saved else 'drawn, not accepted'}"
        others = len(self._editor.unsaved - {self.session.index})
        if not others:
            return f"{here}."
        return f"{here}; {others} other frame{'s are' if others > 1 else ' is'} not accepted."

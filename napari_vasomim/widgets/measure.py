"""Measure a vessel: two clicks on the shown frame give its diameters, its narrowest place and the stenosis there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QTreeWidgetItem
from superqt.utils import signals_blocked

from napari_vasomim.background.threads import run_in_background
from napari_vasomim.measuring import export
from napari_vasomim.measuring.desk import MeasuringDesk
from napari_vasomim.measuring.drawing import ROLES
from napari_vasomim.measuring.entry import Entry
from napari_vasomim.measuring.handles import with_marker
from napari_vasomim.measuring.tool import Purpose
from napari_vasomim.notify import copy, counted, inform, report_errors
from napari_vasomim.plain import plain_label
from napari_vasomim.widgets.kit import Panel, button, choice, header, hint, row
from napari_vasomim.widgets.measure_plot import MeasurePlot
from napari_vasomim.widgets.measure_scale import ScaleChoice, where_from
from napari_vasomim.widgets.table import Table
from vasomim_core.errors import InputError
from vasomim_core.files import plain_name
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.report import SUFFIXES

MOST_ROWS = 5
LONGEST_NAME = 80
NAME, FRAME, DS, MLD = range(4)
CHECKED = "QPushButton:checked { background: palette(highlight); color: palette(highlighted-text); }"
PLAIN_HELP = "Press Measure, then click a vessel at two places. The frame on the canvas is what is measured."
REFERENCES = (
    ("interpolated between the markers", "interpolated"),
    ("computed from all outside the lesion", "computed"),
    ("mean at the markers", "mean-local"),
)


class MeasurePanel(Panel):
    """The measures of the angiogram: made by two clicks, listed, plotted, with reference, scale and what goes out."""

    title = "Measure"
    purpose = "Measure diameters and a stenosis with two clicks."
    explores = ROLES

    def build(self) -> None:
        """Make the widgets."""
        self.desk = MeasuringDesk.of(self.viewer)
        self.measures, self.tool = self.desk.measures, self.desk.tool
        self.start = button("Measure", partial(self._take, "measure"), "Click a vessel at two places", primary=True)
        self.start.setCheckable(True)
        self.start.setStyleSheet(CHECKED)
        self.start.setMinimumHeight(30)
        self.body.addWidget(self.start)
        self.help = hint(PLAIN_HELP)
        self.help.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.help.setMinimumHeight(3 * self.help.fontMetrics().lineSpacing())  # what stands below must not move
        self.body.addWidget(self.help)
        self._build_table()
        self._build_numbers()
        form = self.section("Reference")
        self.reference = choice(*REFERENCES, tooltip="Which of the three references of DICOM PS3.17 annex T.4")
        self.reference.activated.connect(report_errors(self._reference_chosen))
        form.addRow(self.reference)
        self.body.addWidget(header("Scale"))
        self.scale = ScaleChoice(self.session, self.measures, partial(self._take, "catheter"))
        self.body.addWidget(self.scale)

        self.follow(self.tool.changed, self._tool_changed)
        self.follow(self.tool.said, self._say)
        self.follow(self.tool.over, self.plot.show_place)
        self.follow(self.measures.changed, self._refresh)
        self.follow(self.measures.adjusted, self._show_current)
        for signal in (self.session.angiogram_changed, self.session.frame_changed):
            self.follow(signal, self._refresh)
        self._tool_changed(self.tool.purpose)
        self._refresh()

    def _build_table(self) -> None:
        self.table = Table("measure", "frame", "%DS", "MLD", most=MOST_ROWS)
        self.table.setToolTip(
            "The measures of this angiogram; a click shows one, a double click renames it (no patient's name).\n"
            "* = it measures otherwise than when it was kept, see below the numbers."
        )
        self.table.itemClicked.connect(report_errors(self._clicked))
        self.table.itemDoubleClicked.connect(report_errors(self._double_clicked))
        self.table.itemChanged.connect(report_errors(self._edited))
        self.table.setEditTriggers(self.table.EditTrigger.NoEditTriggers)
        self.body.addWidget(self.table)
        self.delete = button("Delete", self._delete, "Take the chosen measure away; Undo brings it back")
        self.undo = button("Undo", self._undo, "Take the last change of this angiogram's measures back")
        self.copy = button(
            "Copy", self._copy, "The numbers of the chosen measure, as text, with the source of the scale"
        )
        self.report = button("Report…", self._ask_report, "One page on the chosen measure, as PDF or PNG")
        self.csv = button("CSV…", self._ask_table, "All measures of this angiogram as a table")
        self.body.addLayout(row(self.delete, self.undo, self.copy))
        self.body.addLayout(row(self.report, self.csv))

    def _build_numbers(self) -> None:
        self.plot = MeasurePlot()
        self.plot.marker_moved.connect(report_errors(self._marker_moved))
        self.plot.pointed.connect(report_errors(self.tool.show_place))
        self.body.addWidget(self.plot)
        form = self.section("Numbers")
        self.numbers = {name: plain_label() for name in ("stenosis", "MLD", "reference", "lesion", "mean", "length")}
        for name, label in self.numbers.items():
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            form.addRow(name, label)
        self.source = hint()
        form.addRow("scale", self.source)
        self.note = hint()
        self.body.addWidget(self.note)

    # What the person does

    def _take(self, purpose: Purpose, french: float = 0.0) -> None:
        """Take up what a button stands for; the same one again puts it down."""
        try:
            self.tool.take(None if self.tool.purpose == purpose else purpose, french)
        finally:
            self._tool_changed(self.tool.purpose)  # the button that was pressed may stand for what was refused

    def _clicked(self, item: QTreeWidgetItem, column: int) -> None:
        self.measures.choose(self.session.need_angiogram(), item.data(NAME, Qt.ItemDataRole.UserRole))

    def _double_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        self.table.editItem(item, NAME)

    def _edited(self, item: QTreeWidgetItem, column: int) -> None:
        id, name = item.data(NAME, Qt.ItemDataRole.UserRole), item.text(NAME).strip()[:LONGEST_NAME]
        # Not before Qt has done with the item, which goes with the table.
        QTimer.singleShot(0, report_errors(partial(self._rename, self.session.need_angiogram(), id, name)))

    def _rename(self, layer: Image, id: str, name: str) -> None:
        entry = self.measures.get(layer, id)
        if entry is not None and name and name != entry.name:
            self.measures.put(layer, entry.named(name))
        else:
            self._fill()

    def _delete(self) -> None:
        self.measures.remove(self.session.need_angiogram(), self.need_current().id)

    def _undo(self) -> None:
        self.measures.undo(self.session.need_angiogram())

    def _reference_chosen(self, *_: Any) -> None:
        """Of the measure that is looked at, and of those to come."""
        self.tool.reference = self.reference.currentData()
        entry = self.measures.current
        if entry is not None and entry.measure is not None:
            changed = entry.measured(entry.measure.with_(reference=self.tool.reference))
            self.measures.put(self.session.need_angiogram(), changed)

    def _marker_moved(self, which: int, px: float, finished: bool) -> None:
        layer, entry = self.session.need_angiogram(), self.measures.current
        if entry is None or entry.measure is None:
            return
        self.measures.adjust(layer, entry.measured(with_marker(entry.measure, which, px)))
        if finished:
            self.measures.settle(layer)

    def need_current(self) -> Entry:
        """The measure that is looked at.

        Raises:
            InputError: there is none on the shown frame.
        """
        entry = self.measures.current
        if entry is None:
            raise InputError("There is no measure on this frame: choose one in the table, or measure.")
        return entry

    # What goes out

    def _copy(self) -> None:
        copy(export.as_text(self.need_current()))
        inform("The numbers are in the clipboard.")

    def _ask_report(self) -> None:
        entry = self.need_current()
        name = plain_name(entry.name, "measure") + ".pdf"
        path, kind = QFileDialog.getSaveFileName(self, "Save report", name, "PDF (*.pdf);;PNG (*.png)")
        if path:
            suffix = Path(path).suffix.lower()
            otherwise = ".png" if "png" in kind else ".pdf"
            self.save_report(Path(path) if suffix in SUFFIXES else Path(path + otherwise))

    def save_report(self, path: Path) -> None:
        """Write one page on the measure that is looked at, in a thread.

        Raises:
            InputError: there is none.
        """
        layer, entry = self.session.need_angiogram(), self.need_current()
        done = f"The report is in {path.name}."
        run_in_background(self, lambda: export.write_report(path, layer, entry), lambda _: self._told(done))
        self._say("Writing the report…")

    def _ask_table(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save measures", "measures.csv", "CSV (*.csv)")
        if path:
            self.save_table(Path(path).with_suffix(".csv"))

    def save_table(self, path: Path) -> None:
        """Write all measures of the angiogram as CSV, in a thread.

        Raises:
            InputError: there are none.
        """
        entries = self.measures.of(self.session.need_angiogram())
        if not entries:
            raise InputError("This angiogram has no measures yet: press Measure and click a vessel at two places.")

        def done(left_out: int) -> None:
            rest = f"; {counted(left_out, 'measure')} that cannot be measured again left out" if left_out else ""
            self._told(f"The measures are in {path.name}{rest}.")

        run_in_background(self, lambda: export.write_table(path, entries), done)

    def _told(self, sentence: str) -> None:
        self._say(sentence)
        inform(sentence)

    # What is shown

    def _say(self, sentence: str) -> None:
        self.help.setText(sentence or PLAIN_HELP)

    def _tool_changed(self, purpose: Purpose | None) -> None:
        self.start.setChecked(purpose == "measure")
        self.scale.trace.setChecked(purpose == "catheter")

    def _refresh(self, *_: Any) -> None:
        layer = self.session.angiogram
        self.start.setEnabled(layer is not None)
        self.csv.setEnabled(bool(self.measures.of(layer)))
        self.undo.setEnabled(self.measures.can_undo(layer))
        self._fill()
        self._show_current()

    def _fill(self) -> None:
        layer, current = self.session.angiogram, self.measures.current
        scale = self.measures.scale(layer) if layer is not None else None
        unit = "px" if scale is None else f"mm, {where_from(scale)}"
        with signals_blocked(self.table):
            self.table.clear()
            self.table.setHeaderLabels(["measure", "frame", "%DS", f"MLD ({unit})"])
            for entry in self.measures.of(layer):
                factor = 1.0 if scale is None else scale.mm_per_px
                read = entry.kept.numbers if entry.measure is None else _read(entry.measure)
                mld = f"{(read['mld_px'] or 0) * factor:.{1 if scale is None else 2}f}"
                mark = " *" if entry.note else ""
                item = QTreeWidgetItem(
                    [entry.name, str(entry.index), f"{read['ds_percent'] or 0:.1f}{mark}", f"{mld}{mark}"]
                )
                item.setData(NAME, Qt.ItemDataRole.UserRole, entry.id)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
                self.table.addTopLevelItem(item)
                if current is not None and entry.id == current.id:
                    self.table.setCurrentItem(item)
            self.table.fit_height()

    def _show_current(self) -> None:
        entry = self.measures.current
        measure = entry.measure if entry is not None else None
        for made in (self.delete, self.copy, self.report):
            made.setEnabled(entry is not None if made is self.delete else measure is not None)
        if measure is not None:
            with signals_blocked(self.reference):
                self.reference.setCurrentIndex(self.reference.findData(measure.reference))
        self.plot.show_measure(measure)
        told = _words(measure) if measure is not None else {}
        for name, label in self.numbers.items():
            label.setText(told.get(name, "–"))
        self.source.setText(measure.source if measure is not None else "–")
        self.note.setText(entry.note if entry is not None else "")
        self.note.setVisible(bool(entry is not None and entry.note))

    def hideEvent(self, event: Any) -> None:
        """Nobody measures without seeing the numbers."""
        super().hideEvent(event)
        if not event.spontaneous() and self.tool.purpose is not None:
            report_errors(self.tool.take)(None)


def _read(measure: Measure) -> dict[str, float | None]:
    return {"ds_percent": measure.ds_percent, "mld_px": measure.mld_px}


def _words(measure: Measure) -> dict[str, str]:
    """What is read of a measure, by the names of the panel."""
    none = "none narrower than 95 % of the reference"
    return {
        "stenosis": f"{measure.ds_percent:.1f} %",
        "MLD": measure.text(measure.mld_px),
        "reference": measure.text(measure.reference_px),
        "lesion": none if measure.lesion_px is None else measure.text(measure.lesion_px),
        "mean": measure.text(measure.mean_px),
        "length": measure.text(measure.length_px, 1),
    }

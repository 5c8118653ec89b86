"""How far two readers agree, the frames with the worst agreement first, and the buttons that settle their labels."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QTreeWidgetItem, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_vasomim.background.long_work import LongWork
from napari_vasomim.canvas.results import DIFFERENCE
from napari_vasomim.keys import with_key
from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.notify import counted, report_errors
from napari_vasomim.plain import tooltip
from napari_vasomim.widgets.kit import Panel, Progress, button, follow, hint, row
from napari_vasomim.widgets.swatches import swatch
from napari_vasomim.widgets.table import Table
from vasomim_core.classes import LabelClass
from vasomim_core.evaluation.agreement import FrameAgreement, agreement_of, in_percent, sum_up, write_csv

BEGIN = "Put what {} of them drew onto the correction, correct it there, then accept: that settles the label"


class AgreementList(QWidget):
    """Compares the readings of the open label set when that is asked for, and again after each that is settled.

    Args:
        panel: in which it stands.
        desk: of whoever labels.
    """

    def __init__(self, panel: Panel, desk: LabellingDesk):
        super().__init__()
        self._panel, self._desk, self._settling = panel, desk, desk.settling
        self._classes: tuple[LabelClass, ...] = ()
        self.compare = button("Compare the readers", self._compare, "DSC and clDice of each frame that two have read")
        self.work = LongWork(self, lambda: None)
        self.progress = Progress(self.work.cancel)
        self.words = hint()
        self.table = Table("frame", "readers", "DSC", "clDice", "", most=6)
        self.table.setToolTip("Select one to see where the readings differ; the worst agreement comes first")
        self.table.itemSelectionChanged.connect(report_errors(self._selected))
        self.legend = hint()
        self.first = button("", lambda: self._settling.take("first"))
        self.second = button("", lambda: self._settling.take("second"))
        self.either = button("Begin from either", lambda: self._settling.take("either"), BEGIN.format("either"))
        self.both = button("Begin from both", lambda: self._settling.take("both"), BEGIN.format("both"))
        for made, colour in ((self.first, 1), (self.second, 2), (self.both, 3)):
            made.setIcon(swatch(DIFFERENCE[colour]))
        self.save = button("Save table…", self._ask_where, "A CSV file with a row for each frame")
        self._shown = QWidget()
        self._choices = QWidget()
        choices = QVBoxLayout(self._choices)
        choices.setContentsMargins(0, 0, 0, 0)
        choices.addWidget(self.legend)
        choices.addLayout(row(self.first, self.second))
        choices.addLayout(row(self.either, self.both))
        shown = QVBoxLayout(self._shown)
        shown.setContentsMargins(0, 0, 0, 0)
        for widget in (self.words, self.table, self._choices, self.save):
            shown.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.compare, self.progress, self._shown):
            column.addWidget(widget)
        follow(self, self.work.stepped, lambda done, total: self.progress.show_step(done, total, "frame %v of %m"))
        follow(self, self.work.ended, self._ended)
        panel.follow(self._settling.changed, self._show)
        panel.follow(desk.second.changed, self._show)
        panel.follow(desk.navigator.changed, self._mark)
        self._show()

    def _compare(self) -> None:
        labels = self._desk.watched.need_label_set()
        classes = labels.classes
        known = self._settling.rows if classes == self._classes else ()

        def done(rows: list[FrameAgreement]) -> None:
            if labels is self._panel.session.label_set:
                self._classes = classes
                self._settling.take_rows(rows)

        self.work.start(lambda progress: agreement_of(labels, progress, known), done)
        self.compare.setEnabled(False)

    def _ended(self) -> None:
        self.progress.hide()
        self._show()

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the table: name it", "agreement.csv", "CSV (*.csv)")
        if path:
            write_csv(Path(path), self._settling.rows)

    def _selected(self) -> None:
        items = self.table.selectedItems()
        if items:
            self._settling.show(self._settling.rows[items[0].data(0, Qt.ItemDataRole.UserRole)])

    def _show(self) -> None:
        rows, blind = self._settling.rows, self._desk.second.on
        self.setVisible(not blind and bool(self._desk.watched.whole.readings))
        self.compare.setEnabled(not self.work.busy)
        self._shown.setVisible(bool(rows) and not blind)
        lines = []
        for one in sum_up(rows):
            of = one.who if one.what == "vessel" else f"    {one.what}"
            means = f"DSC {in_percent(one.dsc, one.dsc_sd)} %, clDice {in_percent(one.cldice, one.cldice_sd)} %"
            lines.append(f"{of}: {counted(one.frames, 'frame')}, {means}")
        mixed = {row.began for row in rows} & {"first", "second"}
        lines += ["Not all readings began alike, some with a prediction: see the table."] if mixed else []
        self.words.setText("\n".join(lines))
        self._fill(rows)
        self._mark()

    def _fill(self, rows: tuple[FrameAgreement, ...]) -> None:
        with signals_blocked(self.table):
            self.table.clear()
            for n, one in enumerate(rows):
                scores = (f"{100 * one.vessel.dsc:.1f}", f"{100 * one.vessel.cldice:.1f}")
                who = f"{one.first} – {one.second}"
                item = QTreeWidgetItem([str(n + 1), who, *scores, "settled" if one.settled else ""])
                item.setData(0, Qt.ItemDataRole.UserRole, n)
                item.setToolTip(0, tooltip(one.id))
                item.setToolTip(1, tooltip(f"{who}; began with a prediction: {one.began}"))
                self.table.addTopLevelItem(item)
        self.table.fit_height()

    def _mark(self) -> None:
        """Select the row of the frame that is shown, and name its readers on the buttons."""
        pair = self._settling.pair
        self._choices.setVisible(pair is not None)
        with signals_blocked(self.table):
            self.table.clearSelection()
            if pair is not None:
                for item, compared in zip(self.table.rows(), self._settling.rows, strict=True):
                    item.setSelected(compared.reading == pair.row.reading)
        if pair is None:
            return
        one, other = pair.first.annotator or pair.row.first, pair.row.second
        self.first.setText(with_key(f"As {one}", "take first").replace("&", "&&"))
        self.second.setText(with_key(f"As {other}", "take second").replace("&", "&&"))
        self.first.setToolTip(tooltip(f"Settle the label as {one} has drawn it"))
        self.second.setToolTip(tooltip(f"Settle the label as {other} has drawn it"))
        changed = pair.first.revision != pair.row.reading.beside
        words = [f"Orange: only {one}. Blue: only {other}. White: both."]
        words += ["Pink: both, in another class."] if len(pair.classes) > 1 else []
        words += [f"{one} has changed the label since it was read a second time."] if changed else []
        self.legend.setText(" ".join(words))

"""Labels come and go: *Import…* and *Export…* in the panel Labels."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_vasomim.background.long_work import LongWork
from napari_vasomim.canvas import layers
from napari_vasomim.labelling.watched_set import WatchedSet
from napari_vasomim.notify import counted
from napari_vasomim.plain import confirmed, message_box
from napari_vasomim.widgets.exchange_dialogs import ExportDialog, ImportDialog
from napari_vasomim.widgets.kit import Panel, Progress, button, follow, row
from vasomim_core.exchange.dicom_objects import NAMES_PATIENT
from vasomim_core.exchange.formats import OUTGOING, From, To, hand_over, labelled
from vasomim_core.exchange.handover import Written
from vasomim_core.exchange.importing import Imported, ImportPlan, carry_out, plan_import
from vasomim_core.exchange.pictures import PLAIN, Style
from vasomim_core.labels.labelset import LabelSet


class LabelExchange:
    """Two buttons, and how far the work is.

    Args:
        panel: gets the widgets at the end of its column.
        watched: the label set that is open.
    """

    def __init__(self, panel: Panel, watched: WatchedSet):
        self._panel, self._watched = panel, watched
        self.come = button(
            "Import…",
            self.ask_import,
            "Take in labels of others: COCO, ARCADE, nnU-Net, images with masks, another label set, DICOM Segmentation",
        )
        self.go = button(
            "Export…",
            self.ask_export,
            "Give the accepted labels away: COCO, nnU-Net, images with masks, pictures, films, DICOM",
        )
        self._then = ""  # what is left of the work when it is cancelled
        self.work = LongWork(panel, self._cancelled)
        self.progress = Progress(self.work.cancel)
        panel.body.addLayout(row(self.come, self.go))
        panel.body.addWidget(self.progress)
        follow(panel, self.work.stepped, lambda done, total: self.progress.show_step(done, total, "frame %v of %m"))
        follow(panel, self.work.ended, self._ended)
        panel.follow(watched.opened, self._enable)
        panel.follow(panel.session.label_set_changed, self._enable)
        self._enable()

    # In

    def ask_import(self) -> None:
        """Ask which labels, then look at them."""
        self._watched.need_label_set()
        dialog = ImportDialog(self._panel)
        if dialog.ask() and dialog.source.path is not None:
            self.look(dialog.source.path, dialog.form_name, dialog.images.path, dialog.categories.isChecked() or None)

    def look(
        self, source: Path, form: From | None = None, images: Path | None = None, categories: bool | None = None
    ) -> None:
        """Look at labels, and ask before any is taken in.

        Raises:
            LabelError: no label set is open.
        """
        labels = self._watched.need_label_set()
        self._then = "Nothing was imported."
        self.work.start(
            lambda progress: plan_import(labelled(source, form, images, categories), labels, progress),
            lambda plan: self._ask(plan, labels),
        )
        self._enable()

    def _ask(self, plan: ImportPlan, labels: LabelSet) -> None:
        first, *others = plan.report()
        if not plan.new and not plan.conflicting:
            self._say(" ".join([f"Nothing to import: {first}", *others]))
            return
        told, readers = plan.told_of_others(), [plan.sources[one.source].annotator for one in plan.of_others()]
        more = [*others, *([told] if told else []), *(["Importing gives it these classes."] if plan.missing else [])]
        box = message_box(self._panel, f"Import into {labels.name}", first, "\n".join(more))
        every = box.addButton("Replace" if told else "Import", QMessageBox.ButtonRole.AcceptRole)
        named = bool(readers) and all(readers)
        second = box.addButton("Keep as second readings", QMessageBox.ButtonRole.AcceptRole) if named else None
        new = box.addButton("New ones only", QMessageBox.ButtonRole.AcceptRole) if plan.conflicting else None
        cancel = box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(cancel)
        box.setEscapeButton(cancel)
        box.exec_()
        chosen = box.clickedButton()
        if chosen not in (every, second, new) or chosen is None:
            self._say("Nothing was imported.")
            return
        self._then = "What was imported by then stays, and is passed over when you import the rest."
        self.work.start(
            lambda progress: carry_out(
                plan, labels, None, chosen is new, True, progress, "second" if chosen is second else "replace"
            ),
            self._imported,
        )
        self._enable()

    def _imported(self, done: Imported) -> None:
        more = f", {counted(len(done.revised), 'frame')} with another mask" if done.revised else ""
        more += f", {counted(len(done.read), 'second reading')} beside labels that stay" if done.read else ""
        self._say(f"{counted(len(done.added), 'new label')} imported{more}.")
        self._renew()

    # Out

    def ask_export(self) -> None:
        """Ask as what, and where to, then write."""
        self._watched.need_label_set()
        layer = self._panel.session.angiogram
        path = layers.path_of(layer) if layer is not None else None
        dialog = ExportDialog(self._panel, str(path or ""))
        if not dialog.ask():
            return
        kind, images = OUTGOING[dialog.to], dialog.needed_images
        if kind.names_patient and not confirmed(self._panel, kind.title, f"{NAMES_PATIENT} Write it?"):
            return
        one = images is not None and images.is_file()
        name, only = (f"labels{kind.ending}", f"{kind.title} (*{kind.ending})") if one else ("labels", "Folder (*)")
        output, _ = QFileDialog.getSaveFileName(self._panel, f"Export as {kind.title}: name it", name, only)
        if output:
            self.export(dialog.to, Path(output), images, dialog.style, kind.names_patient)

    def export(
        self, to: To, output: Path, images: Path | None = None, style: Style = PLAIN, names_patient: bool = False
    ) -> None:
        """Write the accepted labels.

        Raises:
            LabelError: no label set is open.
        """
        folder = self._watched.need_label_set().folder
        self._then = "Nothing of the export is left."
        self.work.start(
            lambda progress: hand_over(
                labelled(folder, "labelset", images), to, output, progress, style, names_patient, replace=True
            ),
            lambda written: self._exported(written, output),
        )
        self._enable()

    def _exported(self, written: Written, output: Path) -> None:
        self._say(" ".join([f"{counted(written.frames, 'frame')} exported to {output.name}.", *written.notes]))

    # Both

    def _cancelled(self) -> None:
        self._say(f"Cancelled. {self._then}")
        self._renew()

    def _renew(self) -> None:
        self._watched.refresh()
        self._panel.session.label_set_changed.emit(self._panel.session.label_set)

    def _say(self, sentence: str) -> None:
        self._watched.said.emit(sentence)

    def _ended(self) -> None:
        self.progress.hide()
        self._enable()

    def _enable(self, *_: object) -> None:
        usable = self._panel.session.label_set is not None and not self.work.busy
        self.come.setEnabled(usable)
        self.go.setEnabled(usable)

"""What is asked before labels come or go: from where, and as what."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_vasomim.plain import make_plain
from napari_vasomim.widgets.kit import SPACE, button, choice, hint, row
from vasomim_core.exchange.formats import INCOMING, OUTGOING, From, To
from vasomim_core.exchange.pictures import Style

WIDTH = 560


class PathField(QWidget):
    """A path that can be written or chosen: a folder, or a file."""

    def __init__(self, placeholder: str, path: str = ""):
        super().__init__()
        self.text = QLineEdit(path)
        self.text.setPlaceholderText(placeholder)
        layout = row(self.text)
        layout.setStretch(0, 1)
        for words, ask in (("Folder…", self._ask_folder), ("File…", self._ask_file)):
            layout.addWidget(button(words, ask))
        self.setLayout(layout)

    @property
    def path(self) -> Path | None:
        """What is written; None = nothing."""
        text = self.text.text().strip()
        return Path(text) if text else None

    def _ask_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, "Choose a folder", self.text.text()):
            self.text.setText(path)

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a file", self.text.text())
        if path:
            self.text.setText(path)


class _Dialog(QDialog):
    """A form with OK and Cancel."""

    def __init__(self, parent: QWidget, title: str, ok: str):
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setMinimumWidth(WIDTH)
        self.column = QVBoxLayout(self)
        self.column.setSpacing(SPACE)
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.column.addLayout(self.form)
        self.about = hint()
        self.column.addWidget(self.about)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.ok = buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.ok.setText(ok)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.column.addStretch(1)
        self.column.addWidget(buttons)

    def ask(self) -> bool:
        """Have a person fill it in; whether that was done."""
        make_plain(self)
        return bool(self.exec_())


class ImportDialog(_Dialog):
    """Which labels are to come."""

    def __init__(self, parent: QWidget):
        super().__init__(parent, "Import labels", "Look at them")
        self.source = PathField("a folder with labels, or a file of masks")
        self.kind = choice(("what it looks like", None), *((kind.title, name) for name, kind in INCOMING.items()))
        self.images = PathField("for masks and DICOM alone: what they are of")
        self.categories = QCheckBox("ARCADE's categories are classes")
        self.categories.setToolTip("Else they are vessel all together")
        self.form.addRow("from", self.source)
        self.form.addRow("as", self.kind)
        self.form.addRow("angiograms", self.images)
        self.form.addRow("", self.categories)
        self.about.setText("Nothing is written before you have seen what would come of it.")
        self.source.text.textChanged.connect(self._enable)
        self._enable()

    @property
    def form_name(self) -> From | None:
        """What it is; None = what it looks like."""
        chosen: From | None = self.kind.currentData()
        return chosen

    def _enable(self) -> None:
        self.ok.setEnabled(self.source.path is not None)


class ExportDialog(_Dialog):
    """As what labels are to go.

    Args:
        parent: the panel.
        shown: path of the angiogram that is shown; empty if it has none.
    """

    def __init__(self, parent: QWidget, shown: str):
        super().__init__(parent, "Export labels", "Choose where to…")
        self.kind = choice(*((kind.title, name) for name, kind in OUTGOING.items()))
        self.images = PathField("the files that the labels were drawn on", shown)
        self.outline = QCheckBox("outlines alone")
        self.form.addRow("as", self.kind)
        self.form.addRow("angiograms", self.images)
        self.form.addRow("", self.outline)
        self.kind.currentIndexChanged.connect(self._show)
        self.images.text.textChanged.connect(self._show)
        self._show()

    @property
    def to(self) -> To:
        """As what."""
        chosen: To = self.kind.currentData()
        return chosen

    @property
    def needed_images(self) -> Path | None:
        """The angiograms, where this kind is of them."""
        return self.images.path if OUTGOING[self.to].of_files else None

    @property
    def style(self) -> Style:
        """How pictures are drawn."""
        return Style(outline=self.outline.isChecked())

    def _show(self, *_: object) -> None:
        kind = OUTGOING[self.to]
        self.images.setEnabled(kind.of_files)
        self.outline.setEnabled(bool(kind.ending) and not kind.names_patient)
        self.ok.setEnabled(not kind.of_files or self.images.path is not None)
        if kind.of_files:
            self.about.setText("The accepted labels are found in these angiograms by the pixels of their frames.")
        else:
            self.about.setText("The accepted labels go, in files that name nobody.")

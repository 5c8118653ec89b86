"""Two readers: a second one's pass, and how far they agree. A section of the panel Labels, folded away."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QFormLayout, QSpinBox, QWidget

from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.notify import counted
from napari_vasomim.widgets.agreement_list import AgreementList
from napari_vasomim.widgets.forms import Fold
from napari_vasomim.widgets.kit import Panel, button, hint

WHY_SEED = (
    "Which labels make up the share: the same seed gives every reader the same frames; it is kept with each reading"
)
WHY_DRAFTS = (
    "Each frame begins with the model's prediction as a draft. Choose it only if the first reader began with it, too: "
    "two readers who correct one draft agree more than two who draw from nothing.\n"
    "What a mask began with is kept with it and told with the agreement"
)


class TwoReaders:
    """What there is to read a second time, and the button for it.

    Args:
        panel: gets the widgets at the end of its column.
        desk: of whoever labels.

    Attributes:
        fold: holds all of it.
        begin: begins the second reading, or ends it.
        agreement: compares what both have drawn, and settles it.
    """

    def __init__(self, panel: Panel, desk: LabellingDesk):
        self._panel, self._desk, self._second = panel, desk, desk.second
        self.fold = Fold("Two readers")
        self.words = hint()
        self.share, self.seed = QSpinBox(), QSpinBox()
        self.share.setRange(1, 100)
        self.share.setValue(100)
        self.share.setSuffix(" %")
        self.share.setToolTip("How many of the labels that others accepted are read a second time")
        self.seed.setRange(0, 9999)
        self.seed.setToolTip(WHY_SEED)
        self.drafts = QCheckBox("begin with the prediction")
        self.drafts.setToolTip(WHY_DRAFTS)
        self.begin = button("", self._begin_or_end)
        self._settings = QWidget()
        form = QFormLayout(self._settings)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("share", self.share)
        form.addRow("drawn by seed", self.seed)
        form.addRow(self.drafts)
        self.agreement = AgreementList(panel, desk)
        for widget in (self.words, self._settings, self.begin, self.agreement):
            self.fold.body.addWidget(widget)
        panel.body.addWidget(self.fold)
        for spin in (self.share, self.seed):
            spin.valueChanged.connect(lambda _: self._show())
        panel.follow(self._second.changed, self._show)
        self._show()

    def _begin_or_end(self) -> None:
        if self._second.on:
            self._second.end()
        else:
            self._second.begin(self.share.value() / 100, self.seed.value(), self.drafts.isChecked())

    def _show(self) -> None:
        blind, reader = self._desk.watched.blind, self._panel.session.annotator
        share, seed = (self.share.value() / 100, self.seed.value()) if blind is None else (blind.share, blind.seed)
        total, read = self._second.count(share, seed)
        self.fold.setVisible(self._panel.session.label_set is not None)
        self.fold.set_title(f"Two readers: {reader} has read {read} of {total}" if blind is not None else "Two readers")
        if not total:
            self.words.setText(f"All labels are by {reader}. Whoever reads second writes another name above, at “by”.")
        elif blind is None:
            self.words.setText(f"{counted(total, 'label')} of others for {reader} to read blindly, {read} read by now.")
        else:
            self.words.setText(f"{read} of {total} read. Labels of others are not shown until you end it.")
        self._settings.setVisible(blind is None and total > 0)
        self.begin.setText("End the second reading" if blind is not None else "Read a second time")
        self.begin.setToolTip(
            "See all labels again"
            if blind is not None
            else "Go through the frames that others have labelled, without seeing what they drew"
        )
        self.begin.setEnabled(blind is not None or read < total)

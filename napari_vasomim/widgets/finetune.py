"""Finetuning from the window: on a label set, from a model."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from qtpy.QtGui import QShowEvent

from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.notify import inform, report_errors
from napari_vasomim.widgets.kit import hint
from napari_vasomim.widgets.model_choice import ModelChoice
from napari_vasomim.widgets.train import Check, TrainPanel
from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import CheckpointError, LabelError, VasoMIMError
from vasomim_core.models import catalogue
from vasomim_core.training import presets
from vasomim_core.training.costs import network_title
from vasomim_core.training.lesson import class_change
from vasomim_core.training.preflight import check_before_training

STARTS = (*catalogue.SEGMENTING, *catalogue.PRETRAINED)
"""Kinds of models that can be started from."""


class FinetunePanel(TrainPanel):
    """Finetune a segmentation model on a label set."""

    title = "Finetune"
    purpose = "Teach a model with the labels you have kept."
    job = "finetune"
    config_type = FinetuneConfig
    data_field = "labels"
    data_words = "a label set"
    empty = "Choose a label set to learn from, or open one in the Labels panel."
    shown_elsewhere = ("init",)
    checked_with = ("val", "fraction", "seed", "categories")

    def build_base(self) -> None:
        """The model to start from."""
        self._by_hand = False
        self._stale = self.session.label_set is not None
        self.base = ModelChoice(
            STARTS,
            "a {kind}, which cannot be started from",
            "The model to start from; a segmentation model needs the fewest labels",
            none="nothing: from scratch",
            text=_with_network,
        )
        self.form.addRow("start from", self.base)
        self.base.fill(self.session.model)
        self.follow(self.session.model_changed, self._fill_bases)
        self.follow(self.session.models_changed, self._fill_bases)
        self.follow(self.session.label_set_changed, self._label_set_changed)
        self.classes = hint()
        self.classes.hide()
        self.form.addRow(self.classes)
        self.base.chosen.connect(report_errors(self._apply_preset))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Check a label set that was opened or added to meanwhile."""
        super().showEvent(event)
        self._follow_label_set()

    def _fill_bases(self, *_: Any) -> None:
        self.base.fill(self.base.current)

    def _ask_data(self) -> None:
        before = self._data
        super()._ask_data()
        self._by_hand = self._by_hand or self._data != before

    def _label_set_changed(self, *_: Any) -> None:
        self._stale = True
        if self.isVisible():
            self._follow_label_set()

    def _follow_label_set(self) -> None:
        labels = self.session.label_set
        if labels is None or not self._stale:
            return
        self._stale = False
        if not self._by_hand or self._data == labels.folder:
            self.use_data(labels.folder)

    def check(self, config: FinetuneConfig) -> Check:
        """Look at every labelled frame."""
        problems, warnings, counts = check_before_training(
            config.labels, config.val, config.fraction, config.training.seed, config.categories
        )
        return problems, warnings, counts.get("frames", 0)

    def preset_changes(self, name: presets.Name) -> dict[str, Any]:
        """By memory, frames and the model to start from."""
        return presets.finetune_preset(name, self._frames, *self.memory(), self.base.current or None)

    def _estimate(self, *given: Any) -> None:
        super()._estimate(*given)
        self._tell_classes()

    def _tell_classes(self) -> None:
        """What becomes of the classes of the model to start from, where the labels have others."""
        sentence = ""
        if self._data is not None:
            with suppress(VasoMIMError, OSError):  # the check tells of it
                sentence = class_change(self._whole(self.settings.last_value()))
        self.classes.setText(sentence)
        self.classes.setVisible(bool(sentence))

    def base_changes(self) -> dict[str, Any]:
        """The model to start from."""
        return {"init": self.base.current or None}

    def check_base(self) -> None:
        """Whether the model to start from is still there.

        Raises:
            CheckpointError: it is not.
        """
        name = self.base.current
        try:
            if name:
                catalogue.read_card(catalogue.find_model(name))
        except CheckpointError as error:
            self._fill_bases()
            raise CheckpointError(f"{name} cannot be started from any more; choose another model.") from error

    def _use_registered(self, name: str) -> None:
        self.session.models_changed.emit()
        self.session.model = name
        inform(f"{name} is now the model of the Segment panel.")

    def _compare(self, run: Path) -> None:
        from napari_vasomim.widgets.before_after import BeforeAfter

        desk = LabellingDesk.known(self.viewer)
        if desk is not None and desk.second.on:
            raise LabelError("A second reading goes on, and this shows labels: end it first, in the panel Labels.")
        self._comparison = BeforeAfter(run, self)
        self._comparison.show()


def _with_network(name: str, card: catalogue.Card) -> str:
    if card.pretrained:
        return f"{name} (pretrained ViT, {card.options.get('encoder', 'unknown size')})"
    return f"{name} ({network_title(card.architecture)})"

"""Pretraining from the window: on unlabelled angiograms."""

from __future__ import annotations

from typing import Any

from napari_vasomim.notify import inform, report_errors
from napari_vasomim.widgets.kit import choice, hint
from napari_vasomim.widgets.train import Check, TrainPanel
from vasomim_core.config import PretrainConfig, Pretraining
from vasomim_core.data.unlabelled import open_unlabelled
from vasomim_core.errors import VasoMIMError
from vasomim_core.methods.settings import METHODS
from vasomim_core.models import catalogue
from vasomim_core.training import presets


class PretrainPanel(TrainPanel):
    """Pretrain an encoder on unlabelled angiograms."""

    title = "Pretrain"
    purpose = "Let an encoder learn from angiograms without labels."
    job = "pretrain"
    config_type = PretrainConfig
    data_field = "data"
    data_words = "a folder of angiograms"
    empty = "Choose a folder of angiograms to learn from; all folders in it are searched through."

    def build_base(self) -> None:
        """How the encoder learns; each method has settings of its own."""
        self.method = choice(
            *((_title(entry.settings), name) for name, entry in METHODS.items()),
            tooltip="How the encoder learns. VasoMIM is guided by the anatomy, the others are not",
        )
        self.form.addRow("method", self.method)
        self.told = hint(_summary(PretrainConfig))
        self.form.addRow(self.told)
        self.method.currentIndexChanged.connect(report_errors(self._method_chosen))

    def settings_type(self) -> type[Pretraining]:
        """Those of the chosen method."""
        return METHODS[self.method.currentData()].settings

    def _method_chosen(self, *_: Any) -> None:
        self.told.setText(_summary(self.settings_type()))
        self._other_form()

    def check(self, config: Pretraining) -> Check:
        """Open every angiogram and count the frames."""
        try:
            found = open_unlabelled(config.data)
        except (VasoMIMError, OSError) as error:
            return [str(error)], [], 0
        warnings = list(found.notes)
        if count := len(found.left_out):
            warnings.append(f"{count} of {count + len(found.files)} files will be left out: {found.left_out[0]}")
        return [], warnings, found.frames

    def preset_changes(self, name: presets.Name) -> dict[str, Any]:
        """By memory and frames."""
        return presets.pretrain_preset(name, self._frames, *self.memory(), self.settings_type())

    def _use_registered(self, name: str) -> None:
        self.session.models_changed.emit()
        card = catalogue.known_card(name)
        draws = card is not None and card.kind == "autoencoder"
        inform(f"{name} can now be chosen in Finetune, to start from{', and in Masking' if draws else ''}.")


def _summary(kind: type[Pretraining]) -> str:
    """What a method does, in the words of its settings class."""
    said = (kind.__doc__ or "").splitlines()[0].partition(": ")[2]
    return said[:1].upper() + said[1:]


def _title(kind: type[Pretraining]) -> str:
    return (kind.__doc__ or kind.method).partition(":")[0]

"""Pretraining from the window: on unlabelled angiograms."""

from __future__ import annotations

from typing import Any

from napari_vasomim.notify import inform
from napari_vasomim.runs import machine
from napari_vasomim.widgets.train import Check, TrainPanel
from vasomim_core.config import PretrainConfig
from vasomim_core.data.unlabelled import open_unlabelled
from vasomim_core.errors import VasoMIMError
from vasomim_core.training import presets


class PretrainPanel(TrainPanel):
    """Pretrain an encoder on unlabelled angiograms."""

    title = "Pretrain"
    purpose = "Let an encoder learn from angiograms without labels, guided by their anatomy."
    job = "pretrain"
    config_type = PretrainConfig
    data_field = "data"
    data_words = "a folder of angiograms"
    empty = "Choose a folder of angiograms to learn from; all folders in it are searched through."

    def check(self, config: PretrainConfig) -> Check:
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
        return presets.pretrain_preset(name, self._frames, *machine.memory())

    def _use_registered(self, name: str) -> None:
        self.session.models_changed.emit()
        inform(f"{name} can now be chosen in Finetune, to start from, and in Masking.")

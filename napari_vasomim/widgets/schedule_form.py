"""The settings of a masking schedule."""

from __future__ import annotations

import math

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_vasomim.widgets.kit import SPACE, choice, row, slider
from vasomim_core.masking.schedule import MaskingSchedule, Sampler
from vasomim_core.models import catalogue

SAMPLERS: tuple[tuple[str, Sampler], ...] = (
    ("proportional to f", "anatomy"),
    ("largest f (top-k)", "top-k"),
    ("uniform (MAE)", "uniform"),
)


class ScheduleForm(QWidget):
    """What decides which patches are masked, but for the seed, and how the vessels are found."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        default = MaskingSchedule()
        self._model = ""
        self.input_size = QSpinBox()
        self.input_size.setRange(32, 1024)
        self.input_size.setSingleStep(32)
        self.input_size.setKeyboardTracking(False)  # "2" on the way to "256" is no size
        self.input_size.setToolTip(
            "Side in px of the square that the model sees: the whole frame is resized to it, as a training crop is. "
            "A model has its own; at another, its positions are resampled"
        )
        self.patch_size = choice(
            *((str(n), n) for n in (8, 16, 32)), tooltip="Side of a patch in px; a model has its own"
        )
        self.mask_ratio = slider(0.1, 0.95, default.mask_ratio, 0.05, "Share of the patches that is masked")
        self.beta_start = slider(0, 1, default.beta_start, 0.05, "Share of the masked patches chosen by anatomy, first")
        self.beta_end = slider(0, 1, default.beta_end, 0.05, "The same at the last epoch; in between it rises evenly")
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 10_000)
        self.epochs.setValue(default.epochs)
        self.sampler = choice(*SAMPLERS, tooltip="How the guided patches are drawn")
        self.anatomy = choice(("robust", "robust"), ("as released", "as-released"), tooltip="How vessels are found")
        self.co_guidance = QCheckBox("co-guidance")
        self.co_guidance.setToolTip("Half of f comes from what the model's segmentor S sees; needs a model")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(SPACE)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("input, patch px", row(self.input_size, self.patch_size))
        form.addRow("mask ratio γ", self.mask_ratio)
        form.addRow("β at the start", self.beta_start)
        form.addRow("β at the end", self.beta_end)
        form.addRow("epochs E", self.epochs)
        form.addRow("sampler", self.sampler)
        form.addRow("anatomy", self.anatomy)
        form.addRow("", self.co_guidance)
        self.take_sizes("")
        for signal in (
            self.input_size.valueChanged,
            self.patch_size.currentIndexChanged,
            self.mask_ratio.valueChanged,
            self.beta_start.valueChanged,
            self.beta_end.valueChanged,
            self.epochs.valueChanged,
            self.sampler.currentIndexChanged,
            self.anatomy.currentIndexChanged,
            self.co_guidance.toggled,
        ):
            signal.connect(lambda *_: self.changed.emit())

    def schedule(self, seed: int) -> MaskingSchedule:
        """What the form says, with a seed."""
        return MaskingSchedule(
            input_size=self.input_size.value(),
            patch_size=self.patch_size.currentData(),
            mask_ratio=round(self.mask_ratio.value(), 6),
            sampler=self.sampler.currentData(),
            beta_start=round(self.beta_start.value(), 6),
            beta_end=round(self.beta_end.value(), 6),
            co_guidance=self.co_guidance.isChecked() and bool(self._model),
            epochs=self.epochs.value(),
            seed=seed,
        )

    def take_sizes(self, model: str) -> None:
        """Take input and patch size over from a model, whose patch size is then fixed; 224 and 16 px without one.

        `changed` is not emitted.

        Args:
            model: name or path of a pretrained one; "" = none.

        Raises:
            CheckpointError: there is no such model.
        """
        schedule = MaskingSchedule()
        if model:
            schedule = schedule.for_model(catalogue.read_card(catalogue.find_model(model)).options)
        self._model = model
        with signals_blocked(self):
            if self.patch_size.findData(schedule.patch_size) < 0:
                self.patch_size.addItem(str(schedule.patch_size), schedule.patch_size)
            self.patch_size.setCurrentIndex(self.patch_size.findData(schedule.patch_size))
            self.patch_size.setEnabled(not model)
            self.input_size.setSingleStep(math.lcm(32, schedule.patch_size))
            self.input_size.setValue(schedule.input_size)
            self.co_guidance.setEnabled(bool(model))

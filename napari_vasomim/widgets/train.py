"""What the Finetune and Pretrain panels share: a folder is checked, a preset fills the form, a run starts."""

from __future__ import annotations

import filecmp
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import psutil
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QScrollArea

from napari_vasomim.background.threads import LatestRequest, run_in_background
from napari_vasomim.notify import inform, report_error, report_errors
from napari_vasomim.runs import jobs, machine, queue
from napari_vasomim.runs.about import shown_name
from napari_vasomim.widgets.forms import ConfigForm, Fold
from napari_vasomim.widgets.kit import Panel, button, choice, hint
from napari_vasomim.widgets.runs import Runs
from napari_vasomim.widgets.send import SendDialog
from napari_vasomim.widgets.where import Where
from vasomim_core.config import FinetuneConfig, Pretraining
from vasomim_core.errors import InputError
from vasomim_core.files import plain_name
from vasomim_core.models import catalogue
from vasomim_core.training import presets
from vasomim_core.training.duration import estimate

SETTLE_MS = 400
"""After the last change of a setting that decides what is learned from, until it is checked anew."""
DOUBLE_CLICK_MS = 1000
"""Time in which another press of Start is the same press."""
UNSAID = 16 << 30
"""Bytes that a run is fitted into where a cluster does not say how much its GPUs have: most have more."""
Check = tuple[list[str], list[str], int]


class TrainPanel(Panel):
    """What finetuning and pretraining share: the data, a preset, every field folded away, and the list of runs."""

    job: ClassVar[str]
    needs_angiogram = False
    config_type: ClassVar[type[FinetuneConfig] | type[Pretraining]]
    data_field: ClassVar[str]
    data_words: ClassVar[str]
    empty: ClassVar[str]
    shown_elsewhere: ClassVar[tuple[str, ...]] = ()
    checked_with: ClassVar[tuple[str, ...]] = ()
    """Settings, besides the folder, that decide whether the run can begin."""

    def build(self) -> None:
        """Make the widgets."""
        self._data: Path | None = None
        self._frames = 0
        self._usable = False
        self._preset: dict[str, Any] = {}
        self.form = self.section("New run")
        self.choose = button(f"Choose {self.data_words}…", self._ask_data)
        self.form.addRow(self.choose)
        self.found = hint(self.empty)
        self.form.addRow(self.found)
        self.build_base()
        self.where = Where(self.session)
        self.form.addRow("where", self.where)
        self.preset = choice(
            ("quick: minutes", "quick"),
            ("balanced: an hour or so", "balanced"),
            ("thorough: overnight", "thorough"),
            tooltip="Fills all settings with what the time and the memory of the computer that trains allow",
        )
        self.form.addRow("preset", self.preset)
        self.name = QLineEdit()
        self.name.setPlaceholderText(f"{self.job}-{date.today():%Y-%m-%d}")
        self.name.setToolTip("The run and its model are called so; a taken name gets a number")
        self.form.addRow("name", self.name)
        self.in_turn = QCheckBox("after the runs before it")
        self.in_turn.setChecked(True)
        self.in_turn.setToolTip("Waits in the list until no other run is alive; unchecked, it begins at once")
        self.form.addRow("", self.in_turn)
        self.where.changed.connect(report_errors(self._place_changed))
        self.settings = self._form()
        self._fold = Fold("All settings")
        self._fold.body.addWidget(self.settings)
        self.body.addWidget(self._fold)
        self.promise = hint()
        self.body.addWidget(self.promise)
        self.start = button("Start", self.start_run, "Trains in a process of its own; the window stays alive", True)
        self.body.addWidget(self.start)
        self.section("Runs")
        self.runs = Runs(self.session, self.job)
        self.body.addWidget(self.runs)
        self.view = self.runs.view
        self.view.use_model.connect(report_errors(self._use_model))
        self.view.compare.connect(report_errors(self._compare))

        self._checking = LatestRequest(self, self._checked, self._check_failed)
        self._checked_with = self._decisive()
        self._again = self._timer(SETTLE_MS, self._check)
        self._pressed = self._timer(DOUBLE_CLICK_MS, self._estimate)
        self._reveal = self._timer(50, self._show_run)
        self.preset.currentIndexChanged.connect(report_errors(self._apply_preset))
        self._place_changed()

    def _form(self) -> ConfigForm:
        """A form of all settings, as they are by default."""
        unset: dict[str, Any] = {self.data_field: Path("data"), "run": Path("run")}
        hidden = (self.data_field, "run", *self.shown_elsewhere)
        form = ConfigForm(self.settings_type()(**unset), hidden, flat=True)
        form.changed.connect(report_errors(self._settings_changed))
        form.problem_changed.connect(self._estimate)
        return form

    def _other_form(self) -> None:
        """Show the settings of another class, as the preset has them."""
        old, self.settings = self.settings, self._form()
        self._fold.body.replaceWidget(old, self.settings)
        old.hide()
        old.deleteLater()
        self._preset = {}
        self._apply_preset()
        self._estimate()

    def _timer(self, milliseconds: int, slot: Any) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(slot)  # a method: a closure may be collected before its timer
        return timer

    # What a subclass says

    def settings_type(self) -> type[Any]:
        """The class of the settings that are shown."""
        return self.config_type

    def build_base(self) -> None:
        """Rows between the data and the preset."""

    def check(self, config: Any) -> Check:
        """Problems and warnings in sentences, and the number of frames; runs in a thread."""
        raise NotImplementedError

    def preset_changes(self, name: presets.Name) -> dict[str, Any]:
        """The changes of a preset for this data and machine."""
        raise NotImplementedError

    def memory(self) -> tuple[int, bool]:
        """Bytes for a training process where it is to train, and whether they are a GPU's."""
        found = self.where.found
        return machine.memory() if found is None else (found.memory or UNSAID, bool(found.gpus))

    def base_changes(self) -> dict[str, Any]:
        """Fields that rows of the subclass set."""
        return {}

    def check_base(self) -> None:
        """Whether what these rows name is still there.

        Raises:
            VasoMIMError: it is not.
        """

    # New run

    def config(self) -> Any:
        """The settings of the run to start, without its folder.

        Raises:
            ConfigError: a field is out of range.
        """
        return self._whole(self.settings.value())

    def _whole(self, settings: Any) -> Any:
        given = {self.data_field: self._data or Path("data"), **self.base_changes()}
        return replace(settings, **given)

    def use_data(self, folder: Path) -> None:
        """Take a folder to learn from, and check it."""
        self._data = folder
        self.found.setText(f"Checking {folder.name}…")
        self._check()

    def _ask_data(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, f"Choose {self.data_words}")
        if folder:
            self.use_data(Path(folder))

    @report_errors
    def _check(self) -> None:
        self._again.stop()
        if self._data is None:
            return
        self._usable = False
        self._checked_with = self._decisive()
        config = self._whole(self.settings.last_value())

        def work() -> tuple[Any, Check]:
            machine.memory()  # asks for a GPU, which takes a while the first time
            return config, self.check(config)

        self._checking.ask(work)
        self._estimate()

    def _checked(self, result: tuple[Any, Check]) -> None:
        config, (problems, warnings, frames) = result
        data: Path = getattr(config, self.data_field)
        if data != self._data:
            return
        self._frames, self._usable = frames, not problems
        count = f": {frames} frame{'s' if frames != 1 else ''}" if frames else ""
        lines = [f"{data.name}{count}"]
        lines += [f"{sign} {line}" for sign, some in (("✖", problems), ("⚠", warnings)) for line in some]
        self.found.setText("\n".join(lines))
        if frames and self._untouched():
            self._apply_preset()
        self._estimate()

    def _check_failed(self, error: Exception) -> None:
        self.found.setText("The check did not come to its end; choose the folder again.")
        report_error(error)

    def _decisive(self) -> tuple[Any, ...]:
        return tuple(
            getattr(part, name)
            for part in (self.settings.last_value(), self.settings.last_value().training)
            for name in self.checked_with
            if hasattr(part, name)
        )

    def _settings_changed(self, *_: Any) -> None:
        if self._decisive() != self._checked_with and self._data is not None:
            self._usable = False
            self._again.start()
        self._estimate()

    def _untouched(self) -> bool:
        """Whether the settings are those of the preset; then they may follow the number of frames."""
        now = self.settings.last_value()
        return presets.apply_preset(now, self._preset) == now if self._preset else True

    def _place_changed(self) -> None:
        """Other computers have other memory, and no queue here."""
        elsewhere = bool(self.where.machine)
        self.in_turn.setVisible(not elsewhere)
        self.start.setText(f"Start on {self.where.machine}…" if elsewhere else "Start")
        if self._frames and self._untouched():
            self._apply_preset()
        self._estimate()

    def _apply_preset(self, *_: Any) -> None:
        if not self._frames:
            return
        self._preset = self.preset_changes(self.preset.currentData())
        self.settings.set_value(presets.apply_preset(self.settings.last_value(), self._preset))
        self._estimate()

    @report_errors
    def _estimate(self, *_: Any) -> None:
        problem = self.settings.problem()
        self.start.setEnabled(self._usable and not problem and not self._pressed.isActive())
        self.promise.setText(problem or self._promise())
        self.promise.setVisible(bool(self.promise.text()))

    def _promise(self) -> str:
        if not self._frames:
            return ""
        config = self.config()
        by_hand = "" if self._untouched() else " Settings differ from the preset."
        if self.where.machine:
            return f"How long it takes on {self.where.machine} shows once it runs.{by_hand}"
        on_gpu = config.training.device == "auto" and machine.memory()[1]
        cores = psutil.cpu_count(logical=False) or 2
        seconds = None if on_gpu else estimate(config, self._frames, cores)
        if seconds is None:
            return f"How long it takes on the GPU shows once it runs.{by_hand}"
        return f"Takes about {_minutes(seconds)} on this machine.{by_hand}"

    def start_run(self) -> None:
        """Start the run in a new folder and follow it; what goes to another machine is listed and asked about first.

        Raises:
            VasoMIMError: a setting, the data or the model to start from cannot be used.
        """
        self._pressed.start()
        self._estimate()
        config = self.config()
        if self._data is None or not self._data.exists():
            self._check()
            raise InputError(f"{self._data} is not there any more; choose {self.data_words}.")
        self.check_base()
        place = self.where.machine
        if place and not SendDialog(config, place, self).ask():
            return
        run = jobs.new_run_folder(self.runs.folder, self.name.text().strip() or self.name.placeholderText())
        config = replace(config, run=run)
        if not place and self.in_turn.isChecked() and queue.busy(self.runs.folder):
            queue.enqueue(config)
            inform(f"{run.name} waits until the runs before it have ended.")
            self.runs.refresh()
        else:
            self.runs.follow(jobs.start(config, place))
            self._reveal.start()
        self.name.clear()

    @report_errors
    def _show_run(self) -> None:
        """Scroll to the run; once its widgets have their places."""
        for area in self.findChildren(QScrollArea):
            area.ensureWidgetVisible(self.view)

    # Its model

    def _use_model(self, model: Path) -> None:
        """Put a run's model among the registered ones; copying takes a moment."""
        run_in_background(self, lambda: _registered(model), self._use_registered)

    def _use_registered(self, name: str) -> None:
        raise NotImplementedError

    def _compare(self, run: Path) -> None:
        """Before and after; only finetuning has it."""


def _registered(model: Path) -> str:
    """The name of a run's model among the registered ones; a model that is there already is not copied again."""
    for name in catalogue.models():
        if filecmp.cmp(catalogue.find_model(name), model, shallow=False):
            return name
    return catalogue.register(model, plain_name(shown_name(model.parent), "model"))


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return "a minute"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

"""Start a training run from the window and follow it: finetuning on kept labels, pretraining on unlabelled frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_vasomim import jobs, machine
from napari_vasomim.background import Newest
from napari_vasomim.notify import inform, told
from napari_vasomim.widgets.forms import ConfigForm, Fold
from napari_vasomim.widgets.kit import Panel, button, choice, hint, row
from napari_vasomim.widgets.run_view import STATES, RunView, when
from vasomim_core import presets
from vasomim_core.config import FinetuneConfig, PretrainConfig
from vasomim_core.errors import ConfigError
from vasomim_core.models import catalogue

LIST_MS = 2000
SCRATCH = "from scratch"
NAMED = "run"


class TrainPanel(Panel):
    """What finetuning and pretraining share: the data, a preset, every field folded away, and the list of runs."""

    job: ClassVar[str]
    needs_angiogram = False
    config_type: ClassVar[type[FinetuneConfig] | type[PretrainConfig]]
    data_field: ClassVar[str]
    data_words: ClassVar[str]

    def build(self) -> None:
        """Make the widgets."""
        self._data: Path | None = None
        self._frames = 0
        self._usable = False
        self.runs_folder = jobs.default_runs_folder()
        self.form = self.section("New run")
        self.choose = button(f"Choose {self.data_words}…", self._ask_data)
        self.form.addRow(self.choose)
        self.found = hint()
        self.form.addRow(self.found)
        self.build_base()
        self.preset = choice(
            ("quick: minutes", "quick"),
            ("balanced: an hour or so", "balanced"),
            ("thorough: overnight", "thorough"),
            tooltip="Sets the fields below to what this machine's memory and time allow",
        )
        self.form.addRow("preset", self.preset)
        self.promise = hint()
        self.body.addWidget(self.promise)
        self.settings = ConfigForm(self._start_config(), hidden=(self.data_field, NAMED, *self.shown_elsewhere))
        fold = Fold("Settings")
        fold.body.addWidget(self.settings)
        self.body.addWidget(fold)
        self.start = button("Start", self.start_run, "Trains in a process of its own; the window stays alive", True)
        self.body.addWidget(self.start)

        self.section("Runs")
        self.none = hint("No run yet. Runs of earlier sessions appear here too.")
        self.body.addWidget(self.none)
        self.list = QTreeWidget()
        self.list.setColumnCount(3)
        self.list.setHeaderLabels(["run", "state", "since"])
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setFixedHeight(110)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            self.list.header().setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.list.currentItemChanged.connect(told(self._selected))
        self.body.addWidget(self.list)
        self.view = RunView()
        self.body.addWidget(self.view)
        self.view.ended.connect(told(self._run_ended))
        self.view.resumed.connect(self.session.jobs.append)
        self.view.use_model.connect(told(self._use_model))
        self.view.compare.connect(told(self._compare))

        self._checking = Newest(self, self._checked)
        self.preset.currentIndexChanged.connect(told(self._apply_preset))
        self.settings.changed.connect(told(self._estimate))
        self._look = QTimer(self)
        self._look.setInterval(LIST_MS)
        self._look.timeout.connect(told(self.refresh_runs))
        self._look.start()
        self.refresh_runs()
        self._describe_data()

    shown_elsewhere: ClassVar[tuple[str, ...]] = ()

    # What a subclass says

    def build_base(self) -> None:
        """Rows between the data and the preset."""

    def check(self, data: Path) -> tuple[list[str], list[str], int]:
        """Problems and warnings in sentences, and the number of frames; runs in a thread."""
        raise NotImplementedError

    def preset_changes(self, name: presets.Name) -> dict[str, Any]:
        """The changes of a preset for this data and machine."""
        raise NotImplementedError

    def base_changes(self) -> dict[str, Any]:
        """Fields that rows of the subclass set."""
        return {}

    # New run

    def _start_config(self) -> Any:
        unset: dict[str, Any] = {self.data_field: Path("data"), "run": Path("run")}
        return self.config_type(**unset)

    def config(self) -> Any:
        """The settings of the run to start, without its folder.

        Raises:
            ConfigError: a field is out of range.
        """
        given = {self.data_field: self._data or Path("data"), **self.base_changes()}
        return replace(self.settings.value(), **given)

    def use_data(self, folder: Path) -> None:
        """Take a folder to learn from, and check it."""
        self._data = folder
        self._usable = False
        self.found.setText(f"Checking {folder.name}…")
        self.start.setEnabled(False)
        self._checking.ask(lambda: (folder, *self.check(folder)))

    def _ask_data(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, f"Choose {self.data_words}")
        if folder:
            self.use_data(Path(folder))

    def _checked(self, result: tuple[Path, list[str], list[str], int]) -> None:
        folder, problems, warnings, frames = result
        if folder != self._data:
            return
        self._frames, self._usable = frames, not problems
        lines = [f"<b>{folder.name}</b>: {frames} frames", *(f"⚠ {line}" for line in problems + warnings)]
        self.found.setText("<br>".join(lines))
        self.start.setEnabled(self._usable)
        self._apply_preset()

    def _describe_data(self) -> None:
        if self._data is None:
            self.found.setText(f"Choose {self.data_words} to learn from.")
            self.start.setEnabled(False)

    def _apply_preset(self, *_: Any) -> None:
        changes = self.preset_changes(self.preset.currentData())
        self.settings.set_value(presets.apply_preset(self.settings.value(), changes))
        self._estimate()

    def _estimate(self, *_: Any) -> None:
        try:
            seconds = presets.estimate(self.config(), self._frames) if self._frames else None
        except ConfigError as error:
            self.promise.setText(str(error))
            self.start.setEnabled(False)
            return
        self.start.setEnabled(self._usable)
        self.promise.setText("" if seconds is None else f"About {_minutes(seconds)} on this machine.")

    def start_run(self) -> None:
        """Start the run in a new folder and follow it."""
        config = self.config()
        run = jobs.new_run_folder(self.runs_folder, f"{self.job}-{(self._data or Path(self.job)).name}")
        job = jobs.start(replace(config, run=run))
        self.session.jobs.append(job)
        self.refresh_runs()
        self._select(run)
        self.view.show_run(job)

    # Runs

    def refresh_runs(self) -> None:
        """Read the list of runs again."""
        if not self.isVisible() and self.list.topLevelItemCount():
            return
        runs = [status for status in jobs.list_runs(self.runs_folder) if status.job == self.job]
        known = {self.list.topLevelItem(i).data(0, Qt.ItemDataRole.UserRole): i for i in range(len(self._items()))}
        if set(known) != {str(status.run) for status in runs}:
            current = self.view.run
            self.list.blockSignals(True)
            self.list.clear()
            for status in runs:
                item = QTreeWidgetItem(self.list)
                item.setData(0, Qt.ItemDataRole.UserRole, str(status.run))
            if current is not None:
                self._select(current)
            self.list.blockSignals(False)
        for item, status in zip(self._items(), runs, strict=True):
            item.setText(0, status.run.name)
            item.setText(1, status.state)
            item.setText(2, when(status.started))
            item.setToolTip(0, f"{status.run.name}: {STATES[status.state]}")
        self.none.setVisible(not runs)
        self.list.setVisible(bool(runs))

    def _items(self) -> list[QTreeWidgetItem]:
        return [self.list.topLevelItem(i) for i in range(self.list.topLevelItemCount())]

    def _select(self, run: Path) -> None:
        self.list.blockSignals(True)
        for item in self._items():
            if item.data(0, Qt.ItemDataRole.UserRole) == str(run):
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)

    def _selected(self, item: QTreeWidgetItem | None, _before: Any = None) -> None:
        if item is not None:
            run = Path(item.data(0, Qt.ItemDataRole.UserRole))
            if run != self.view.run:
                self.view.show_run(jobs.attach(run))

    def _run_ended(self, status: jobs.RunStatus) -> None:
        self.refresh_runs()
        if status.state == "finished":
            inform(f"{status.run.name} has finished.")
        elif status.message:
            inform(f"{status.run.name}: {status.message}")

    def _use_model(self, model: Path) -> None:
        """Register the run's model and make it the active one."""
        name = catalogue.register(model, model.parent.name)
        self.session.model = name
        inform(f"{name} is now the model of the Segment panel.")

    def _compare(self, run: Path) -> None:
        """Before and after; only finetuning has it."""


class FinetunePanel(TrainPanel):
    """Finetune a segmenter on a label set."""

    title = "Finetune"
    purpose = "Teach a model with the labels you have kept."
    job = "finetune"
    config_type = FinetuneConfig
    data_field = "labels"
    data_words = "a label set"
    shown_elsewhere = ("init",)

    def build_base(self) -> None:
        """The model to start from."""
        self.base = choice(tooltip="The model to start from; a segmenter needs the fewest labels")
        self.form.addRow("start from", self.base)
        self._fill_bases()
        self.follow(self.session.model_changed, self._fill_bases)
        self.follow(self.session.label_set_changed, self._label_set_changed)
        self.base.currentIndexChanged.connect(told(lambda *_: self._apply_preset() if self._frames else None))
        QTimer.singleShot(0, told(self._label_set_changed))

    def _fill_bases(self, *_: Any) -> None:
        chosen = self.base.currentData() if self.base.count() else self.session.model
        self.base.blockSignals(True)
        self.base.clear()
        for name, card in catalogue.models().items():
            words = "pretrained encoder" if card.kind == "autoencoder" else card.architecture
            self.base.addItem(f"{name} ({words})", name)
        self.base.addItem(SCRATCH, None)
        self.base.setCurrentIndex(max(0, self.base.findData(chosen)))
        self.base.blockSignals(False)

    def _label_set_changed(self, *_: Any) -> None:
        if self.session.label_set is not None:
            self.use_data(self.session.label_set.folder)

    def check(self, data: Path) -> tuple[list[str], list[str], int]:
        """Look at every labelled frame."""
        problems, warnings, counts = presets.check_before_training(data)
        return problems, warnings, counts.get("frames", 0)

    def preset_changes(self, name: presets.Name) -> dict[str, Any]:
        """By memory, frames and the model to start from."""
        return presets.finetune_preset(name, max(1, self._frames), *machine.memory(), self.base.currentData())

    def base_changes(self) -> dict[str, Any]:
        """The model to start from."""
        return {"init": self.base.currentData()}

    def _compare(self, run: Path) -> None:
        from napari_vasomim.widgets.before_after import BeforeAfter

        self._comparison = BeforeAfter(run, self)
        self._comparison.show()


class PretrainPanel(TrainPanel):
    """Pretrain an encoder on unlabelled angiograms."""

    title = "Pretrain"
    purpose = "Let an encoder learn from angiograms without labels, guided by their anatomy."
    job = "pretrain"
    config_type = PretrainConfig
    data_field = "data"
    data_words = "a folder of angiograms"

    def check(self, data: Path) -> tuple[list[str], list[str], int]:
        """Count the angiograms."""
        from vasomim_core.angiogram import find_angiograms
        from vasomim_core.errors import VasoMIMError

        try:
            return [], [], len(find_angiograms(data))
        except VasoMIMError as error:
            return [str(error)], [], 0

    def preset_changes(self, name: presets.Name) -> dict[str, Any]:
        """By memory and frames."""
        return presets.pretrain_preset(name, max(1, self._frames), *machine.memory())


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return "a minute"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

"""A run is a folder: its settings, its events, its last state, its model. It travels, and never overwrites another.

| file | what it is |
|---|---|
| config.yaml | the settings; `vasomim JOB --config RUN/config.yaml --run NEW` repeats the run |
| events.jsonl | see `events` |
| output.log | what the process printed, where a window started it |
| state.pt | what resuming needs; removed when the run has finished |
| cache/ | decoded frames and masks; removed when the run has finished |
| model.safetensors | the model to use: the best validated one, or the last |

Importing this module is cheap, so that a window can read and write settings: torch comes with the jobs alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from vasomim_core.config import (
    Config,
    FinetuneConfig,
    PretrainConfig,
    SegmentorConfig,
    check,
    from_dict,
    to_dict,
)
from vasomim_core.errors import ConfigError, RunError, VasoMIMError
from vasomim_core.files import write_text
from vasomim_core.training.events import FILE, EventLog, read_events

if TYPE_CHECKING:
    from vasomim_core.training.processes import Processes

SETTINGS = "config.yaml"
MODEL = "model.safetensors"
OUTPUT = "output.log"
CACHE = "cache"
JOBS: dict[str, type[Config]] = {
    "segmentor": SegmentorConfig,
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
}


def job_name(config: Config) -> str:
    """segmentor, pretrain or finetune."""
    return next(name for name, kind in JOBS.items() if isinstance(config, kind))


def load_config(path: Path) -> Config:
    """The settings of a run, of whichever job, from its `config.yaml` (or the run folder).

    Raises:
        ConfigError: no such file, or settings that do not fit.
    """
    path = path / SETTINGS if path.is_dir() else path
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give the config.yaml of a run") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML; give the config.yaml of a run") from error
    if not isinstance(values, dict) or values.get("job") not in JOBS:
        raise ConfigError(f"{path} does not say which job it is for; its first line must be job: {' | '.join(JOBS)}")
    job = values.pop("job")
    try:
        return from_dict(JOBS[job], values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def save_config(path: Path, config: Config) -> None:
    """Write settings as `load_config` reads them, atomically."""
    values = {"job": job_name(config), **to_dict(config)}
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


@contextmanager
def open_run(config: Config, processes: Processes, resume: bool) -> Iterator[EventLog]:
    """Open the run folder, and write the end of the run into its events however it ends.

    Raises:
        ConfigError: a setting out of range.
        RunError: the folder holds another run (or none, when resuming).
    """
    check(config)
    run = config.run
    settings = run / SETTINGS
    if resume and not settings.is_file():
        raise RunError(f"{run} holds no run to resume; give the folder of an earlier run")
    if resume and is_finished(run):
        raise RunError(f"the run in {run} is finished; for another one give --config {settings} and a new --run")
    processes.wait()  # until every process has seen the folder as it was
    if processes.first:
        if not resume:
            _make_room(config)
        for left in (*run.glob(".state.*.pt"), *run.glob(".model.*.safetensors")):
            left.unlink()  # half-written by a process that was killed
        save_config(settings, config)
    processes.wait()
    log = EventLog(run, writes=processes.first)
    log.write("open", job=job_name(config), pid=os.getpid())
    try:
        yield log
    except VasoMIMError as error:
        log.write("end", reason="failed", message=str(error))
        raise
    except (Exception, KeyboardInterrupt) as error:
        log.write("end", reason="failed", message=f"{type(error).__name__}: {error}")
        raise


def finish_run(run: Path, reason: str, log: EventLog, processes: Processes) -> Path:
    """Tell of the model and of the end; then remove what only a resumed run would need, unless it was stopped.

    Returns:
        The model file.
    """
    from vasomim_core.training.loop import STATE

    processes.wait()
    model = run / MODEL
    if model.exists():  # not so when a pretraining run is stopped while it still trains its segmentor
        log.write("model", path=MODEL)
    log.write("end", reason=reason, message="")
    if processes.first and reason != "stopped":
        (run / STATE).unlink(missing_ok=True)
        shutil.rmtree(run / CACHE, ignore_errors=True)
    return model


def is_finished(run: Path) -> bool:
    """Whether the run in this folder came to its end by itself and left a model."""
    ends = [event["reason"] for event in read_events(run) if event["event"] == "end"]
    return (run / MODEL).exists() and bool(ends) and ends[-1] in ("finished", "patience")


def _make_room(config: Config) -> None:
    """Make the folder of a new run; one that has not trained anything gives way to it.

    That is a run that failed before its first step, or one that a window has prepared: it holds these very settings
    and the log for the output, and no process has taken it up.

    Raises:
        RunError: the folder holds something else.
    """
    run = config.run
    names = {path.name for path in run.iterdir()} if run.is_dir() else set()
    events = list(read_events(run))
    failed = bool(events) and events[-1]["event"] == "end" and events[-1]["reason"] == "failed"
    untouched = all(event["event"] in ("spawn", "stop") for event in events) and _holds(run, config)
    allowed = {SETTINGS, OUTPUT, FILE, *({CACHE} if failed else ())} if failed or untouched else set()
    if (run.exists() and not run.is_dir()) or not names <= allowed:
        raise RunError(f"{run} exists and is not empty; give a new folder, or resume the run in it")
    if failed:
        shutil.rmtree(run / CACHE, ignore_errors=True)
        (run / FILE).unlink()
    run.mkdir(parents=True, exist_ok=True)


def _holds(run: Path, config: Config) -> bool:
    try:
        return load_config(run / SETTINGS) == config
    except ConfigError:
        return False


def progress_events(log: EventLog, every: int = 20) -> Callable[[int, int], None]:
    """A progress callback that writes a `prepare` event for every `every`-th frame and the last."""

    def progress(done: int, total: int) -> None:
        if done % every == 0 or done == total:
            log.write("prepare", done=done, total=total)

    return progress

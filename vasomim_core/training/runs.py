"""A run is a folder: its settings, its events, its last state, its model. It travels, and never overwrites another.

| file | what it is |
|---|---|
| config.yaml | the settings; `vasomim JOB --config RUN/config.yaml --run NEW` repeats the run |
| events.jsonl | see `events` |
| output.log | what the process printed, where a window started it |
| state.pt | what resuming needs; removed when the run has finished |
| data.json | what it learns from and is validated on; see `run_data` |
| cache/ | decoded frames and masks; removed when the run has finished |
| model.safetensors | the model to use: the best validated one, or the last |
| about.json | what a person says of it: its name in lists, notes |
| remote.json | of a run on another machine: where it is; see `vasomim_core.remote` |
| .lock | held by the process that works in the folder; see `vasomim_core.locks` |

Importing this module is cheap, so that a window can read and write settings: torch comes with the jobs alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml

from vasomim_core.config import Config, FinetuneConfig, Pretraining, SegmentorConfig, card_settings
from vasomim_core.errors import ConfigError, LockedError, RunError, VasoMIMError
from vasomim_core.files import open_ordinary, write_text
from vasomim_core.locks import locked
from vasomim_core.methods.settings import settings_of
from vasomim_core.models.catalogue import RUN_MODEL, is_path
from vasomim_core.schema import check, from_dict, to_dict
from vasomim_core.training.events import FILE, EventLog, read_events
from vasomim_core.training.result import Reason, TrainingResult, best_validation

SETTINGS = "config.yaml"
MODEL = RUN_MODEL
OUTPUT = "output.log"
CACHE = "cache"
STATE = "state.pt"
DATA = "data.json"
ABOUT = "about.json"
ELSEWHERE = "remote.json"
LOCK = ".lock"
TURN = 1.0
"""Seconds for which a run waits for its folder: a window that starts it holds the lock while it does so."""
LONGEST_SETTINGS = 1 << 16  # bytes
MODELS = ("init", "segmentor")
"""Settings that are the name of a model or its path."""
C = TypeVar("C", bound=Config)
MAY_CHANGE = frozenset({"run", "data", "labels", "val", "training", "validate_every", "patience"})
"""Settings that a resumed run may be given anew: where things are (what lies there is compared), and how it works."""
JOBS: dict[str, type[Config]] = {
    "segmentor": SegmentorConfig,
    "pretrain": Pretraining,
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
        with open_ordinary(path) as file:
            text = file.read(LONGEST_SETTINGS + 1)
        if len(text) > LONGEST_SETTINGS:
            raise ConfigError(f"{path} is too long for settings; give the config.yaml of a run")
        values = yaml.load(text, _PlainLoader)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give the config.yaml of a run") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML; give the config.yaml of a run") from error
    if not isinstance(values, dict) or values.get("job") not in list(JOBS):
        raise ConfigError(f"{path} does not say which job it is for; its first line must be job: {' | '.join(JOBS)}")
    job = values.pop("job")
    try:
        # Runs of earlier versions do not name their method: there was one.
        kind = settings_of(values.pop("method", "vasomim")) if job == "pretrain" else JOBS[job]
        return from_dict(kind, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


class _PlainLoader(yaml.SafeLoader):
    """Without aliases, by which a few lines stand for more than fits into memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not used in settings")
        return super().compose_node(parent, index)


def absolute(config: C) -> C:
    """The same settings with whole paths, so that they mean the same files wherever the run is repeated or resumed.

    A path to nothing stays as it was typed, and so does a model's name.
    """
    changes: dict[str, Any] = {}
    for name, value in vars(config).items():
        if isinstance(value, Path) and (name == "run" or value.exists()):
            changes[name] = value.resolve()
        elif name in MODELS and isinstance(value, str) and is_path(value):
            changes[name] = str(Path(value).resolve())
    return replace(config, **changes)


def settings_text(config: Config) -> str:
    """Settings as `load_config` reads them."""
    method = {"method": config.method} if isinstance(config, Pretraining) else {}
    values = {"job": job_name(config), **method, **to_dict(config)}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def save_config(path: Path, config: Config) -> None:
    """Write settings as `load_config` reads them, atomically."""
    write_text(path, settings_text(config))


class Among(Protocol):
    """A process's place among those that work on a run: `processes.Processes`, or one that needs no torch."""

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""

    def wait(self) -> None:
        """Until all processes are here."""

    def agree(self, text: str) -> bool:
        """Whether all processes say the same."""

    def lost(self, error: BaseException) -> RunError | None:
        """What to tell a person where an error says that another process has gone."""


@contextmanager
def open_run(config: Config, processes: Among, resume: bool) -> Iterator[EventLog]:
    """Open the run folder, and write the end of the run into its events however it ends.

    Of several processes the first one writes. One on a machine that has the folder not in common with it has a folder
    of its own, with the settings alone: by them it resumes there.

    Raises:
        ConfigError: a setting out of range, or another one than in another process.
        RunError: the folder holds another run (or none, when resuming), or another process works in it.
    """
    check(config)
    run = config.run
    settings = run / SETTINGS
    if resume and processes.first and not settings.is_file():
        raise RunError(f"{run} holds no run to resume; give the folder of an earlier run")
    if resume and settings.is_file():
        _check_as_begun(absolute(load_config(settings)), absolute(config))
    with ExitStack() as stack:
        if processes.first:
            if not resume:
                _check_room(config)
                run.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(run, TURN))
            if resume and is_finished(run):
                raise RunError(
                    f"the run in {run} is finished; for another one give --config {settings} and a new --run"
                )
            if not resume:
                _make_room(config)
            for left in (*run.glob(".state.*.pt"), *run.glob(".model.*.safetensors")):
                left.unlink()  # half-written by a process that was killed
            save_config(settings, absolute(config))
        processes.wait()
        if not processes.first and not settings.is_file():
            save_config(settings, absolute(config))
        if not processes.agree(str(card_settings(config))):
            raise ConfigError("the processes of this run were given different settings; start all by the same command")
        log = EventLog(run, writes=processes.first)
        log.write("open", job=job_name(config), pid=os.getpid())
        try:
            yield log
        except VasoMIMError as error:
            log.write("end", reason="failed", message=str(error))
            raise
        except (Exception, KeyboardInterrupt) as error:
            if (lost := processes.lost(error)) is not None:
                log.write("end", reason="failed", message=str(lost))
                raise lost from error
            log.write("end", reason="failed", message=f"{type(error).__name__}: {error}")
            raise


@contextmanager
def exclusive(run: Path, wait: float = 0.0) -> Iterator[None]:
    """Be the only process that works in a run folder, for the block.

    Args:
        run: the folder; it must exist.
        wait: seconds to wait for another one to leave it.

    Raises:
        RunError: another one works in it, or it cannot be written to.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(run / LOCK, wait))
        except LockedError as error:
            raise RunError(f"{run} is in use: {error}") from error
        except OSError as error:
            raise RunError(f"{run} cannot be written ({error.strerror}); choose another folder") from error
        yield


def finish_run(run: Path, reason: Reason, epochs: int, log: EventLog, processes: Among) -> TrainingResult:
    """Tell of the model and of the end; then remove what only a resumed run would need, unless it was stopped."""
    processes.wait()
    model = run / MODEL
    if model.exists():  # not so when a pretraining run is stopped while it still trains its segmentor
        log.write("model", path=MODEL)
    log.write("end", reason=reason, message="")
    if reason != "stopped":
        (run / STATE).unlink(missing_ok=True)  # another machine may have a copy of its own
        shutil.rmtree(run / CACHE, ignore_errors=True)
    epoch, scores = best_validation(run) or (None, {})
    return TrainingResult(run, model, reason, epochs, scores, epoch)


def is_finished(run: Path) -> bool:
    """Whether the run in this folder came to its end by itself and left a model."""
    ends = [event["reason"] for event in read_events(run) if event["event"] == "end"]
    return (run / MODEL).exists() and bool(ends) and ends[-1] in ("finished", "patience")


def _check_as_begun(begun: Config, given: Config) -> None:
    """Refuse settings that say of a resumed run what it was not begun with; its model's card would tell them.

    Raises:
        ConfigError: one of them differs.
    """
    pairs: dict[str, Any] = {"seed": (begun.training.seed, given.training.seed)}
    if isinstance(begun, Pretraining):
        pairs["method"] = begun.method, getattr(given, "method", None)
    for name in vars(begun).keys() - MAY_CHANGE:
        pairs[name] = getattr(begun, name), getattr(given, name, None)
    for name, (before, now) in sorted(pairs.items()):
        if before != now:
            raise ConfigError(
                f"{name} is {now}, and the run in {given.run} was begun with {before}; leave it as it was, "
                "or start a new run"
            )


def _check_room(config: Config) -> bool:
    """Whether a run that failed before its first step stands in the folder of a new one; nothing else may.

    Besides, a window may have prepared the folder: it holds these very settings and the log for the output, and no
    process has taken it up; for another machine `remote.json`, too.

    Raises:
        RunError: the folder holds something else.
    """
    run = config.run
    names = {path.name for path in run.iterdir()} - {LOCK, f"{LOCK}.holder", ABOUT} if run.is_dir() else set()
    events = list(read_events(run)) if FILE in names else []
    failed = bool(events) and events[-1]["event"] == "end" and events[-1]["reason"] == "failed"
    untouched = all(event["event"] in ("spawn", "stop") for event in events) and _holds(run, config)
    allowed = {SETTINGS, OUTPUT, FILE, ELSEWHERE, *({CACHE, DATA} if failed else ())} if failed or untouched else set()
    if (run.exists() and not run.is_dir()) or not names <= allowed:
        raise RunError(f"{run} exists and is not empty; give a new folder, or resume the run in it")
    return failed


def _make_room(config: Config) -> None:
    """Clear away what a failed run has left; raises as `_check_room`, for the folder may have been taken meanwhile."""
    if _check_room(config):
        shutil.rmtree(config.run / CACHE, ignore_errors=True)
        (config.run / DATA).unlink(missing_ok=True)
        (config.run / FILE).unlink()
    (config.run / ELSEWHERE).unlink(missing_ok=True)  # where it will be computed, whoever computes it says


def _holds(run: Path, config: Config) -> bool:
    try:
        return absolute(load_config(run / SETTINGS)) == absolute(config)
    except ConfigError:
        return False


def progress_events(log: EventLog, every: int = 20) -> Callable[[int, int], None]:
    """A progress callback that writes a `prepare` event for every `every`-th frame and the last."""

    def progress(done: int, total: int) -> None:
        if done % every == 0 or done == total:
            log.write("prepare", done=done, total=total)

    return progress

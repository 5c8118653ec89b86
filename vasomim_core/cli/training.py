"""Commands that train: segmentor, pretrain, finetune, and the demo that strings them together."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from vasomim_core.cli.common import Options
from vasomim_core.config import Config, FinetuneConfig, PretrainConfig, Pretraining, SegmentorConfig
from vasomim_core.errors import ConfigError
from vasomim_core.methods.settings import METHODS, settings_of
from vasomim_core.training.result import TrainingResult, best_validation


@dataclass(frozen=True, kw_only=True)
class _Job(Options):
    """Options of every training job.

    Attributes:
        config: start from the settings in this file (RUN/config.yaml); other options override them.
        resume: go on with the run in this folder, with its own settings; one on another machine is found again there.
        on: name of the machine to run on, see `vasomim machines`; None = here.
        dry_run: with --on: say what would be sent, and send nothing.
    """

    config: Path | None = None
    resume: Path | None = None
    on: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    dry_run: bool = False

    @classmethod
    def default(cls, arguments: list[str]) -> _Job | None:
        """The settings of `--config` or `--resume` as the defaults of all options; None without either."""
        given = _given(arguments)
        source = _source(arguments)
        if source is None:
            return None
        settings = _loaded(source, cls.settings_type())
        if given.resume is not None:
            settings = replace(settings, run=given.resume)  # the folder may have been moved
        return cls(settings=settings, config=given.config, resume=given.resume)  # type: ignore[call-arg]

    @property
    def elsewhere(self) -> bool:
        """Whether the run is, or will be, on another machine."""
        from vasomim_core.remote.place import place_of

        if self.dry_run and (self.on is None or self.resume is not None):
            raise ConfigError("--dry-run says what --on NAME would send for a new run; give it with that")
        return self.on is not None or (self.resume is not None and place_of(self.resume) is not None)

    @classmethod
    def settings_type(cls) -> type:
        """The config class of this job."""
        from typing import get_type_hints

        kind: type = get_type_hints(cls)["settings"]
        return kind

    def train(self, job: Callable[..., TrainingResult], settings: Config) -> dict[str, Any]:
        """Run the job among the processes that were started."""
        from vasomim_core.training.processes import joined_processes

        with joined_processes() as processes:
            return self.told(job(settings, processes, self.resume is not None))

    def train_elsewhere(self, settings: Config, strict: bool = False) -> dict[str, Any]:
        """Run the job on another machine, or say what that would send."""
        from vasomim_core.cli.elsewhere import Terminal
        from vasomim_core.models.catalogue import RUN_MODEL
        from vasomim_core.remote.running import train_elsewhere
        from vasomim_core.remote.sending import list_parcel

        if self.dry_run and self.on is not None:
            listing, notes = list_parcel(settings, self.on, strict)
            return {"would_send": vars(listing), "words": f"would send {listing}", "notes": notes}
        with Terminal() as watcher:
            outcome = train_elsewhere(settings, self.on, self.resume is not None, strict, watcher)
        epoch, scores = best_validation(settings.run) or (None, {})
        model = settings.run / RUN_MODEL
        told = self.told(TrainingResult(settings.run, model, outcome.reason, 0, scores, epoch))  # type: ignore[arg-type]
        return {**told, "machine": outcome.machine, "note": outcome.message}

    def told(self, result: TrainingResult) -> dict[str, Any]:
        """What came of a run."""
        from vasomim_core.training.events import read_events

        warnings = [event for event in read_events(result.run) if event["event"] == "warning"]
        told: dict[str, Any] = {
            "run": str(result.run),
            "model": str(result.model) if result.model.exists() else None,
            "reason": result.reason,
            "warnings": [warning["message"] for warning in warnings],
            "failed": [warning["message"] for warning in warnings if warning.get("left_out")],
        }
        if result.scores:
            told["validation"] = {"epoch": result.best_epoch, **result.scores}
        return told

    def summary(self, result: dict[str, Any]) -> str:
        """How the run ended and where its model is."""
        if "would_send" in result:
            return "\n".join([result["words"], *(f"note: {message}" for message in result["notes"])])
        lines = [f"note: {message}" for message in result["warnings"]]
        lines.append(f"{result['reason']}: " + (f"model in {result['model']}" if result["model"] else "no model yet"))
        if "validation" in result:
            scores = ", ".join(f"{k} {v:.2f}" for k, v in result["validation"].items() if k != "epoch")
            epoch = result["validation"]["epoch"]
            which = f"best epoch {epoch}" if epoch else "no epoch was better than the model it started from"
            lines.append(f"{which}: {scores} (percent, on the validation part)")
        if result["reason"] == "stopped":
            lines.append(f"go on with --resume {result['run']}")
        if result["reason"] == "left":
            lines.append(f"the run goes on on {result['machine']}; find it again with --resume {result['run']}")
        if result.get("note"):
            lines.append(f"note: {result['note']}")
        return "\n".join(lines)


def _given(arguments: list[str]) -> argparse.Namespace:
    scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    scan.add_argument("--config", type=Path)
    scan.add_argument("--resume", type=Path)
    return scan.parse_known_args(arguments)[0]


def _source(arguments: list[str]) -> Path | None:
    """Where the settings are that the arguments start from."""
    given = _given(arguments)
    source: Path | None = given.resume or given.config
    return source


def _loaded(source: Path, kind: type) -> Config:
    from vasomim_core.training.runs import job_name, load_config

    settings = load_config(source)
    if not isinstance(settings, kind):
        raise ConfigError(f"{source} is for another job; use `vasomim {job_name(settings)}`")
    return settings


Flat = tyro.conf.arg(name="")


@dataclass(frozen=True, kw_only=True)
class Segmentor(_Job):
    """Train the segmentor S on what the vesselness filter finds, without manual labels.

    Attributes:
        strict: end at the first file that cannot be read; else it is left out, and the exit code is 3.
    """

    settings: Annotated[SegmentorConfig, Flat]
    strict: bool = False

    def run(self) -> dict[str, Any]:
        """Train."""
        if self.elsewhere:
            return self.train_elsewhere(self.settings, self.strict)
        from vasomim_core.training.segmentor import train_segmentor

        return self.train(partial(train_segmentor, strict=self.strict), self.settings)


@dataclass(frozen=True, kw_only=True)
class Pretrain(_Job):
    """Pretrain an encoder on unlabelled angiograms (VasoMIM, or another --method).

    Attributes:
        method: how the encoder learns; `--method NAME --help` lists the settings of that method.
        strict: end at the first file that cannot be read; else it is left out, and the exit code is 3.
    """

    settings: Annotated[PretrainConfig, Flat]
    method: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(METHODS) + "}")] = PretrainConfig.method
    strict: bool = False

    @classmethod
    def chosen(cls, arguments: list[str]) -> type[Pretrain]:
        """This command with the settings of the method that the arguments name, or the run that they name.

        Raises:
            ConfigError: there is no such method, or the run is by another.
        """
        scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        scan.add_argument("--method")
        named = scan.parse_known_args(arguments)[0].method
        source = _source(arguments)
        kind = settings_of(named or PretrainConfig.method)
        if source is not None:
            kind = type(_loaded(source, Pretraining))  # type: ignore[assignment]
            if named is not None and settings_of(named) is not kind:
                raise ConfigError(f"{source} is a run by --method {kind.method}, not {named}; leave --method out")
        if kind is PretrainConfig:
            return cls
        summary = f"{(kind.__doc__ or '').splitlines()[0]}\n\n{inspect.getdoc(cls)}"
        own = make_dataclass(
            cls.__name__,
            [("settings", Annotated[kind, Flat]), ("method", cls.__annotations__["method"], kind.method)],
            bases=(cls,),
            frozen=True,
            kw_only=True,
            namespace={"__doc__": summary, "__module__": cls.__module__},
        )
        return own

    def run(self) -> dict[str, Any]:
        """Train."""
        if self.elsewhere:
            return self.train_elsewhere(self.settings, self.strict)
        from vasomim_core.training.pretrain import pretrain

        return self.train(partial(pretrain, strict=self.strict), self.settings)


@dataclass(frozen=True, kw_only=True)
class Finetune(_Job):
    """Finetune a segmentation model on labelled frames."""

    settings: Annotated[FinetuneConfig, Flat]

    def run(self) -> dict[str, Any]:
        """Train."""
        if self.elsewhere:
            return self.train_elsewhere(self.settings)
        from vasomim_core.training.finetune import finetune

        return self.train(finetune, self.settings)


@dataclass(frozen=True, kw_only=True)
class Demo(Options):
    """The whole method in minutes: pretrain, finetune, segment, score, and a picture of it all.

    Attributes:
        output: folder for everything that it makes; must be new or empty.
        data: labelled angiograms to use (an ARCADE split folder or images/ with masks/); None = synthetic ones.
        frames: number of frames to learn from.
        seed: of everything drawn.
    """

    output: Path = Path("demo")
    data: Path | None = None
    frames: int = 60
    seed: int = 0

    def run(self) -> dict[str, Any]:
        """Run all steps."""
        from vasomim_core.cli.demo import demonstrate

        return demonstrate(self.output, self.data, self.frames, self.seed)

    def summary(self, result: dict[str, Any]) -> str:
        """The scores and the picture."""
        return "\n".join(
            [
                f"held-out frames: DSC {result['dsc']:.1f}, clDice {result['cldice']:.1f} "
                f"(filter alone: {result['filter_dsc']:.1f} / {result['filter_cldice']:.1f})",
                f"the picture of every step: {result['picture']}",
            ]
        )

"""What a comparison is told, and what of it must stay the same in its folder. torch is not loaded here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from vasomim_core.config import Device, EncoderSize
from vasomim_core.errors import ConfigError
from vasomim_core.files import open_ordinary, write_text
from vasomim_core.schema import from_dict, to_dict

FILE = "compare.yaml"
Task = Literal["vessel", "stenosis"]
Ablation = Literal["components", "schedule"]
MAY_GROW = ("methods", "ablation", "clustering", "seeds")
"""Settings that may grow in the same folder: they add rows and runs, and change none that there is."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, and on what.

    Attributes:
        data: data sets, each a folder with `train` and `val` (and `test`, which is then reported on, and `val` chosen
            on), or labelled frames without such parts, a quarter of which is then kept for the report.
        unlabelled: folders of angiograms to pretrain on; none = the frames that are learned from, without their labels.
        methods: rows of the table, see `rows.TABLE`; none = the published ones.
        seeds: finetuning runs of each row, each on labels of its own.
        fraction: share of the labels that is learned from.
        minutes: of pretraining for each method; None = `epochs` counts.
        epochs: of pretraining for each method, where `minutes` is None.
        finetuning_epochs: of each finetuning run.
        task: what the labels are: vessels, or stenoses.
        ablation: variants of VasoMIM to compare besides: its components, its schedule.
        clustering: also tell how well the tokens of each encoder part vessel from background.
        encoder: size of the ViT.
        input_size: side of the pretraining crops in px; finetuning takes crops and frames of twice that.
        batch_size: frames of a pretraining step.
        device: auto, cpu or cuda.
    """

    data: tuple[Path, ...]
    unlabelled: tuple[Path, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: int = 3
    fraction: float = 0.1
    minutes: float | None = 25.0
    epochs: int | None = None
    finetuning_epochs: int = 14
    task: Task = "vessel"
    ablation: tuple[Ablation, ...] = ()
    clustering: bool = False
    encoder: EncoderSize = "tiny"
    input_size: int = 128
    batch_size: int = 32
    device: Device = "auto"

    def check(self) -> None:
        """Check what no run would.

        Raises:
            ConfigError: a setting out of range, or two that contradict each other.
        """
        if (self.minutes is None) == (self.epochs is None):
            raise ConfigError("equal time or equal epochs: give either --minutes or --epochs")
        if self.minutes is not None and not 0 < self.minutes <= 100_000:
            raise ConfigError(f"--minutes is {self.minutes:g}; give a number above 0")
        for name in ("seeds", "epochs", "finetuning_epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} is {value}; give 1 or more")
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"--fraction is {self.fraction:g}; give a share above 0 and up to 1")
        if self.input_size < 32 or self.input_size % 32:
            raise ConfigError(f"--input-size is {self.input_size}; give a multiple of 32")
        if not self.data:
            raise ConfigError("a comparison needs labelled frames: give --data")


def settle_settings(out: Path, given: Comparison) -> Comparison:
    """The settings of a comparison's folder: those given, where they do not contradict those it was begun with.

    Args:
        out: the folder; it is made, and the settings are kept in it.
        given: rows, seeds, ablations and clustering come to those that the folder has; the others must be its own.

    Raises:
        ConfigError: a setting is out of range or differs from the folder's, or the folder holds something else.
    """
    given.check()
    path = out / FILE
    begun = _load(path) if path.is_file() else None
    if begun is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is no comparison and not empty; give a new folder as --out")
    data, unlabelled = (tuple(path.resolve() for path in paths) for paths in (given.data, given.unlabelled))
    given = replace(given, data=data, unlabelled=unlabelled)
    if begun is not None:
        for field in fields(Comparison):
            before, now = getattr(begun, field.name), getattr(given, field.name)
            if before != now and field.name not in MAY_GROW:
                raise ConfigError(
                    f"--{field.name.replace('_', '-')} is {_words(now)}, and the comparison in {out} was begun with "
                    f"{_words(before)}; leave it as it was, or give a new folder as --out"
                )
        given = _grown(begun, given)
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, yaml.safe_dump(to_dict(given), sort_keys=False, allow_unicode=True))
    return given


def _grown(begun: Comparison, given: Comparison) -> Comparison:
    """What both ask for."""
    every = not begun.methods or not given.methods
    return replace(
        given,
        methods=() if every else tuple(dict.fromkeys((*begun.methods, *given.methods))),
        ablation=tuple(dict.fromkeys((*begun.ablation, *given.ablation))),
        clustering=begun.clustering or given.clustering,
        seeds=max(begun.seeds, given.seeds),
    )


def load_settings(out: Path) -> Comparison:
    """The settings that a comparison's folder was last worked on with.

    Raises:
        ConfigError: there is no comparison.
    """
    if not (out / FILE).is_file():
        raise ConfigError(f"{out} is no comparison: it has no {FILE}")
    return _load(out / FILE)


def _load(path: Path) -> Comparison:
    try:
        with open_ordinary(path) as file:
            values = yaml.safe_load(file)
        return from_dict(Comparison, values if isinstance(values, dict) else {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}); give a new folder as --out") from error


def _words(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)

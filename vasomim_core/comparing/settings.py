"""What a comparison is told, and what of it must stay the same in its folder. torch is not loaded here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from vasomim_core.config import Device, EncoderSize
from vasomim_core.errors import ConfigError
from vasomim_core.files import open_ordinary, write_text
from vasomim_core.schema import Ui, check, from_dict, to_dict

FILE = "compare.yaml"
MINUTES = 25.0
"""Of pretraining, where nothing else is said."""
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
        methods: rows of the table; none = all twelve: frangi, unet, mocov3, dino, mae, simmim, amt, deblurring,
            crossmae, hpm, chexworld, vasomim; besides, vit is the network that the methods pretrain, from scratch.
        seeds: finetuning runs of each row, each on labels of its own.
        fraction: share of the labels that is learned from.
        minutes: of pretraining for each method; 25 where neither they nor epochs are given.
        epochs: of pretraining for each method, in the place of minutes.
        finetuning_epochs: of each finetuning run.
        task: what the labels are: vessels, or stenoses.
        ablation: variants of VasoMIM to compare besides: its components, its schedule.
        clustering: also tell how well the tokens of each encoder part vessel from background.
        encoder: size of the ViT.
        input_size: side of the pretraining crops in px; finetuning takes crops and frames of twice that.
        batch_size: frames of a pretraining step.
        device: auto, cpu or cuda.
    """

    data: tuple[Path, ...] = ()
    unlabelled: tuple[Path, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: Annotated[int, Ui(min=1, max=1000)] = 3
    fraction: Annotated[float, Ui(min=0.001, max=1)] = 0.1
    minutes: Annotated[float | None, Ui(min=0.01, max=100_000)] = None
    epochs: Annotated[int | None, Ui(min=1, max=10_000)] = None
    finetuning_epochs: Annotated[int, Ui(min=1, max=10_000)] = 14
    task: Task = "vessel"
    ablation: tuple[Ablation, ...] = ()
    clustering: bool = False
    encoder: EncoderSize = "tiny"
    input_size: Annotated[int, Ui(min=32, max=1024, step=32, unit="px")] = 128
    batch_size: Annotated[int, Ui(min=1, max=65_536)] = 32
    device: Device = "auto"

    def settled(self) -> Comparison:
        """The same, checked, with whole paths, and with `MINUTES` where neither time nor epochs are given.

        Raises:
            ConfigError: a setting out of range, two that contradict each other, or no data.
        """
        check(self)
        if self.minutes is not None and self.epochs is not None:
            raise ConfigError("equal time or equal epochs: give either --minutes or --epochs")
        if not self.data:
            raise ConfigError("a comparison needs labelled frames: give --data")
        data, unlabelled = (tuple(path.resolve() for path in paths) for paths in (self.data, self.unlabelled))
        minutes = MINUTES if self.minutes is None and self.epochs is None else self.minutes
        return replace(self, data=data, unlabelled=unlabelled, minutes=minutes)


def settle_settings(out: Path, given: Comparison) -> Comparison:
    """The settings of a comparison's folder: those given, where they do not contradict those it was begun with.

    Args:
        out: the folder; it is made, and the settings are kept in it.
        given: rows, seeds, ablations and clustering come to those that the folder has; the others must be its own.

    Raises:
        ConfigError: a setting is out of range or differs from the folder's, or the folder holds something else.
    """
    given = given.settled()
    path = out / FILE
    begun = _load(path) if path.is_file() else None
    if begun is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is no comparison and not empty; give a new folder as --out")
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

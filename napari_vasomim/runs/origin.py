"""What a run has learned from and was scored on, what differs between two, and which models came of one."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vasomim_core.config import Config, FinetuneConfig, Pretraining
from vasomim_core.errors import ConfigError
from vasomim_core.models import catalogue
from vasomim_core.models.catalogue import Card, known_card, model_name
from vasomim_core.schema import to_dict
from vasomim_core.training.run_data import RunData, read_run_data
from vasomim_core.training.runs import MODEL, load_config

OTHERS = {"synthetic": "synthetic", "contrast": "with synthetic contrast", "unlabelled": "unlabelled"}


def origin(run: Path) -> str:
    """What a run learns from and is scored on, in sentences; empty while it has not settled that."""
    record = read_run_data(run)
    try:
        config = load_config(run) if record is not None else None
    except ConfigError:
        return ""
    if record is None or config is None:
        return ""
    if not isinstance(config, FinetuneConfig):
        return f"Learns from {_counted(len(record.items), 'file')} of {config.data.name}, without labels."
    facts = record.facts
    start = f", from {model_name(config.init)} on" if config.init else ", from scratch"
    learned = f"Learns from {_counted(facts.get('frames'), 'labelled frame')} of {config.labels.name}{start}"
    more = [f"{facts[f'{name}_frames']} {words}" for name, words in OTHERS.items() if facts.get(f"{name}_frames")]
    besides = f"; besides {', '.join(more)}" if more else ""
    judged = _counted(facts.get("validation_frames"), "frame")
    where = f"{judged} of {config.val.name}" if config.val is not None else f"{judged} of the same, held out"
    return f"{learned}{besides}. Scored on {where}."


def scored_alike(one: Path, other: Path) -> bool | None:
    """Whether two runs are scored on the same frames with the same labels; None = that is not known."""
    prints = [_facts(read_run_data(run)).get("validation_sha256") for run in (one, other)]
    return None if None in prints else prints[0] == prints[1]


def differences(one: Path, other: Path) -> list[tuple[str, str, str]]:
    """The settings that differ between two runs: name, and the value in each.

    Raises:
        ConfigError: the settings of one cannot be read.
    """
    a, b = (_flat(load_config(run)) for run in (one, other))
    names = [name for name in {**a, **b} if a.get(name) != b.get(name)]
    return [(name, _shown(a, name), _shown(b, name)) for name in names]


def made_by(runs: Iterable[Path]) -> dict[str, Path]:
    """Which of these runs a registered model came of, by its name; left out where that cannot be told.

    It is the run whose model is the same; or, where none is any more since it went on, the only one that has learned
    the same lesson: its card has the run's settings and data.
    """
    cards = {name: card for name, card in catalogue.models().items() if not catalogue.is_packaged(name)}
    own = {run: card for run in runs if (card := known_card(run / MODEL)) is not None}
    found = {}
    for name, card in cards.items():
        alike = [run for run, its in own.items() if _same_lesson(card, its)]
        same = [run for run in alike if own[run] == card]
        if len(same) > 1:
            file = catalogue.own_model(name)
            same = [run for run in same if filecmp.cmp(file, run / MODEL, shallow=False)]
        if same or len(alike) == 1:
            found[name] = (same or alike)[0]
    return found


def models_of(run: Path, runs: Iterable[Path]) -> list[str]:
    """The registered models that came of a run, and of none of the others among these."""
    return [name for name, its in made_by({run, *runs}).items() if its == run]


def begun_from(name: str, runs: Iterable[Path]) -> list[Path]:
    """The runs among these that start from a model of this name."""
    found = []
    for run in runs:
        try:
            config = load_config(run)
        except ConfigError:
            continue
        if name in [getattr(config, field, None) for field in ("init", "segmentor", "teacher")]:
            found.append(run)
    return found


def _same_lesson(card: Card, other: Card) -> bool:
    """Whether two models have learned from the same with the same settings.

    Of how they were trained the seed alone counts: a resumed run may have been given other epochs by now.
    """

    def lesson(one: Card) -> tuple[Any, ...]:
        settings = {name: value for name, value in one.config.items() if name != "training"}
        training = one.config.get("training")
        return one.kind, one.options, one.data, settings, training.get("seed") if isinstance(training, dict) else None

    return lesson(card) == lesson(other)


def _facts(record: RunData | None) -> dict[str, Any]:
    return {} if record is None else record.facts


def _flat(config: Config) -> dict[str, Any]:
    values: dict[str, Any] = {"method": config.method} if isinstance(config, Pretraining) else {}
    values |= to_dict(config)
    values.pop("run", None)
    training = values.pop("training", {})
    return {**values, **{f"training.{name}": value for name, value in training.items()}}


def _shown(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return "–"
    value = values[name]
    return "none" if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _counted(count: Any, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

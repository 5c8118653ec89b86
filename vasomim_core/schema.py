"""What a dataclass of settings says of its own fields, and how it becomes plain values and comes back from them.

A field's range, unit and place in a form stand in a `Ui` beside its type. `to_dict` and `from_dict` are exact
inverses, and `from_dict` takes values from anybody: each is of its type and within its range, or refused by name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import reprlib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from vasomim_core.errors import ConfigError

C = TypeVar("C")


@dataclass(frozen=True)
class Ui:
    """How a form shows a field, and the range that is checked wherever it is set.

    Attributes:
        min: smallest allowed value.
        max: largest allowed value.
        step: step of a spin box.
        unit: px, epochs, …; shown behind the value.
        advanced: folded away at first.
    """

    min: float | None = None
    max: float | None = None
    step: float | None = None
    unit: str = ""
    advanced: bool = False


LONGEST_TEXT = 4096
"""Characters of a setting that is text or a path."""


def check(config: Any, where: str = "") -> None:
    """Check every number against the range beside its type.

    Raises:
        ConfigError: the first value out of range, by name.
    """
    for name, (annotation, ui) in fields(type(config)).items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            check(value, f"{name}.")
            continue
        allowed = [get_args(t) for t in _alternatives(annotation) if get_origin(t) is Literal]
        if allowed and value is not None and value not in allowed[0]:
            choices = ", ".join(map(str, allowed[0]))
            raise ConfigError(f"{where}{name} is {shown(value)}; choose one of {choices}")
        for number in value if isinstance(value, tuple) else (value,):
            if not isinstance(number, int | float) or isinstance(number, bool):
                continue
            low = -float("inf") if ui.min is None else ui.min
            high = float("inf") if ui.max is None else ui.max
            if not low <= number <= high:
                raise ConfigError(f"{where}{name} is {shown(number)}; give a value from {low:g} to {high:g}")
            if ui.unit == "px" and ui.step and number % ui.step:
                raise ConfigError(f"{where}{name} is {number}; give a multiple of {ui.step:g} px")


def fields(config_type: type) -> dict[str, tuple[Any, Ui]]:
    """Every field of a config by name, with its plain type and its `Ui`."""
    found = {}
    hints = get_type_hints(config_type, include_extras=True)
    for name in (f.name for f in dataclasses.fields(config_type)):
        hint, ui = hints[name], Ui()
        if get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
            ui = next((e for e in extras if isinstance(e, Ui)), ui)
        found[name] = (hint, ui)
    return found


def to_dict(config: Any) -> dict[str, Any]:
    """The settings as plain values (paths as text, tuples as lists), for YAML and model cards."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, tuple | list):
            return [plain(v) for v in value]
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(config))


def from_dict(config_type: type[C], values: dict[str, Any], where: str = "") -> C:
    """The inverse of `to_dict`; fields that are left out keep their defaults.

    Raises:
        ConfigError: an unknown or missing field, a value of another type or out of range.
    """
    known = fields(config_type)
    for name in values:
        if name not in known:
            raise ConfigError(f"unknown setting {where}{shown(name)}; known are {', '.join(known)}")
    built = {name: _convert(value, known[name][0], f"{where}{name}") for name, value in values.items()}
    try:
        config = config_type(**built)
    except TypeError as error:
        required = [f.name for f in dataclasses.fields(config_type) if _required(f) and f.name not in values]  # type: ignore[arg-type]
        raise ConfigError(f"the settings lack {', '.join(required) or error}") from error
    check(config, where)
    return config


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (types.UnionType, typing.Union) else (annotation,)


def _convert(value: Any, annotation: Any, where: str) -> Any:
    """A YAML value as the annotated type; numbers are not taken for text, nor text for numbers."""
    alternatives = _alternatives(annotation)
    if value is None:
        if type(None) in alternatives:
            return None
        raise ConfigError(f"{where} must not be empty")
    kind = next(t for t in alternatives if t is not type(None))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return from_dict(kind, value, f"{where}.")
    if get_origin(kind) is tuple and get_args(kind)[1:] == (...,) and isinstance(value, list | tuple):
        return tuple(_convert(v, get_args(kind)[0], where) for v in value)
    if get_origin(kind) is tuple and isinstance(value, list | tuple) and len(value) == len(get_args(kind)):
        return tuple(_convert(v, t, where) for v, t in zip(value, get_args(kind), strict=True))
    if get_origin(kind) is Literal and isinstance(value, str):
        return value
    if kind is Path and isinstance(value, str | Path) and len(str(value)) <= LONGEST_TEXT and "\0" not in str(value):
        return Path(value)
    if kind is float and type(value) in (int, float) and abs(value) < math.inf:
        with contextlib.suppress(OverflowError):
            return float(value)
    if kind in (int, bool, str) and type(value) is kind and not (kind is str and len(value) > LONGEST_TEXT):
        return value
    if get_origin(kind) is dict and isinstance(value, dict):
        return value  # of any contents: whoever declares it checks them
    raise ConfigError(f"{where} is {shown(value)}, which is not {getattr(kind, '__name__', kind)}")


def shown(value: Any) -> str:
    """A value for a message: cut where it is long, deep, or wide."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of very many digits"

"""How requests and answers travel: a line of JSON, then the bytes of the arrays it announces.

    {"kind": "Segment", "values": {"model": "vasomim-fast", "mirrored": false}, "arrays": [["frame", "uint8", [9, 9]]]}

The kind is the name of a dataclass, the values and arrays are its fields. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from io import BufferedReader
from types import UnionType
from typing import Any, BinaryIO, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from vasomim_core.config import from_dict
from vasomim_core.errors import InputError

T = TypeVar("T")

DTYPES = frozenset({"bool", "uint8", "uint16", "int32", "int64", "float32", "float64"})
LONGEST_HEADER = 1 << 20  # bytes
MOST_ARRAYS = 32
MOST_BYTES = 1 << 30  # in the arrays of one message
CHUNK = 1 << 20  # bytes read or written at once: whoever else needs the interpreter gets it in between


class Message(NamedTuple):
    """What has arrived, before `decode` makes an object of it; arrays are values among the others."""

    kind: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """The answer to a request that ended in an error.

    Attributes:
        type: name of the error's class.
        message: a sentence for a person.
        report: where in the code something unexpected happened, for the developers; "" = the error is for a person.
    """

    type: str
    message: str
    report: str = ""


def encode(sent: Any) -> list[memoryview]:
    """A request or an answer as the bytes to send.

    Args:
        sent: a dataclass; its fields are JSON values, dataclasses of such, or arrays of one of `DTYPES` (which are not
            copied).

    Raises:
        InputError: arrays too large or of another type.
        TypeError: a field that is nothing of that.
    """
    kind, values = type(sent).__name__, vars(sent)
    arrays = {k: _in_order(v) for k, v in values.items() if isinstance(v, np.ndarray)}
    announced = [(name, array.dtype.name, array.shape) for name, array in arrays.items()]
    _check(announced)
    plain = {k: v for k, v in values.items() if k not in arrays}
    line = json.dumps({"kind": kind, "values": plain, "arrays": announced}, default=_plain).encode() + b"\n"
    if len(line) > LONGEST_HEADER:
        raise InputError(f"the values of {kind} take {len(line)} bytes; give large data as arrays")
    return [memoryview(line), *(_bytes_of(array) for array in arrays.values())]


def decode(message: Message, kind: type[T]) -> T:
    """The object that was sent.

    Args:
        message: what has arrived.
        kind: the dataclass that it is expected to be.

    Raises:
        ConfigError: a setting in it is unknown, or out of its range.
        InputError: a field is missing, unknown, or of another type.
    """
    hints, values = get_type_hints(kind), dict(message.values)
    if values.keys() != hints.keys():
        raise InputError(f"{message.kind} came with {', '.join(values) or 'nothing'}; give {', '.join(hints)}")
    for name, hint in hints.items():
        if is_dataclass(hint) and isinstance(hint, type) and isinstance(values[name], dict):
            values[name] = from_dict(hint, values[name])
        elif not isinstance(values[name], _classes(hint)):
            raise InputError(f"{name} is {type(values[name]).__name__}; give {getattr(hint, '__name__', hint)}")
    return kind(**values)


def send(stream: BinaryIO, parts: list[memoryview]) -> None:
    """Write an encoded message to a buffered stream, and flush."""
    for part in parts:
        for chunk in _chunks(part):
            stream.write(chunk)
    stream.flush()


def receive(stream: BufferedReader) -> Message | None:
    """The next message, or None where the stream ends.

    Raises:
        InputError: what comes is not a message, or announces more than the limits allow.
    """
    line = stream.readline(LONGEST_HEADER)
    if not line.endswith(b"\n"):
        if len(line) < LONGEST_HEADER:
            return None
        raise InputError("the stream holds something else than messages")
    try:
        header = json.loads(line)
        kind, values = str(header["kind"]), dict(header["values"])
        announced = [(str(name), str(dtype), tuple(shape)) for name, dtype, shape in header["arrays"]]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError("the stream holds something else than messages") from error
    _check(announced)
    for name, dtype, shape in announced:
        values[name] = np.empty(shape, dtype)
        for chunk in _chunks(_bytes_of(values[name])):
            if stream.readinto(chunk) < len(chunk):
                return None
    return Message(kind, values)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _chunks(data: memoryview) -> Iterator[memoryview]:
    return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))


def _check(arrays: list[tuple[str, str, tuple[Any, ...]]]) -> None:
    if len(arrays) > MOST_ARRAYS:
        raise InputError(f"a message of {len(arrays)} arrays is too much; send at most {MOST_ARRAYS}")
    total = 0
    for name, dtype, shape in arrays:
        if dtype not in DTYPES:
            raise InputError(f"array {name!r} is of type {dtype}; give one of {', '.join(sorted(DTYPES))}")
        if not all(type(side) is int and side >= 0 for side in shape):
            raise InputError(f"array {name!r} has the impossible shape {shape}")
        total += math.prod(shape) * np.dtype(dtype).itemsize
    if total > MOST_BYTES:
        raise InputError(f"a message of {total >> 20} MB is too large; send at most {MOST_BYTES >> 20} MB at once")


def _in_order(array: NDArray[Any]) -> NDArray[Any]:
    """Contiguous and in this machine's byte order, which the name of a dtype does not tell."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else asdict(value)


def _classes(hint: Any) -> tuple[type, ...]:
    """What `isinstance` takes for a type hint."""
    return tuple(get_origin(h) or h for h in (get_args(hint) if isinstance(hint, UnionType) else (hint,)))

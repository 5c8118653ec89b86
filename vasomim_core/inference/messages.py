"""What the window and its inference child say to each other: a line of JSON, then the bytes of the arrays it announces.

    {"kind": "segment", "values": {"model": "vasomim-fast"}, "arrays": [["frame", "uint8", [512, 512]]]}

The kind of a request is its method; that of a reply is "answer" or "error". Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import InputError

DTYPES = frozenset({"bool", "uint8", "uint16", "int32", "int64", "float32", "float64"})
LONGEST_HEADER = 1 << 20  # bytes
MOST_ARRAYS = 32
MOST_BYTES = 1 << 30  # in the arrays of one message
CHUNK = 1 << 20  # bytes read or written at once: whoever else needs the interpreter gets it in between


class Message(NamedTuple):
    """A request or a reply; arrays are values among the others."""

    kind: str
    values: dict[str, Any]


def encode(message: Message) -> list[memoryview]:
    """A message as the bytes to send.

    Args:
        message: its values are JSON values, paths, or arrays of one of `DTYPES` (which are not copied).

    Raises:
        InputError: arrays too large or of another type.
        TypeError: a value that is neither JSON nor an array.
    """
    arrays = {k: _in_order(v) for k, v in message.values.items() if isinstance(v, np.ndarray)}
    announced = [(name, array.dtype.name, array.shape) for name, array in arrays.items()]
    _check(announced)
    plain = {k: v for k, v in message.values.items() if k not in arrays}
    line = json.dumps({"kind": message.kind, "values": plain, "arrays": announced}, default=_plain).encode() + b"\n"
    if len(line) > LONGEST_HEADER:
        raise InputError(f"the values of {message.kind!r} take {len(line)} bytes; give large data as arrays")
    return [memoryview(line), *(_bytes_of(array) for array in arrays.values())]


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
    if not line.endswith(b"\n") and len(line) < LONGEST_HEADER:
        return None
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
    return value.item() if isinstance(value, np.generic) else os.fspath(value)

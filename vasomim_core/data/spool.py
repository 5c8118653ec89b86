"""Decoded pixels that are needed a second time: on the disk meanwhile, so that they take no memory."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def spool(folder: Path) -> Iterator[Callable[[NDArray[Any]], Callable[[], NDArray[Any]]]]:
    """A temporary file without a name, gone when the block or the process ends, however it does.

        with spool(folder) as keep:
            again = keep(pixels)      # an array of any shape and type
            again()                   # the same, a fresh array each time

    Args:
        folder: On whose disk it is; made where it is missing.

    Raises:
        OSError: it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:

        def keep(pixels: NDArray[Any]) -> Callable[[], NDArray[Any]]:
            start, shape, dtype = file.seek(0, os.SEEK_END), pixels.shape, pixels.dtype
            file.write(pixels.tobytes())

            def again() -> NDArray[Any]:
                file.seek(start)
                content = bytearray(file.read(math.prod(shape) * dtype.itemsize))
                return np.frombuffer(content, dtype).reshape(shape)

            return again

        yield keep

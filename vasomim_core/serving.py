"""The inference child: a process that holds the models, so that a window need not load torch.

`python -m vasomim_core.serving` answers requests on standard input over standard output, one at a time and in order,
until its input closes. A message is a line of JSON, then the bytes of the arrays that the line announces:

    {"kind": "segment", "values": {"model": "vasomim-fast"}, "arrays": [["frame", "uint8", [512, 512]]]}

The kind of a request is its method; that of a reply is "answer" or "error". Nothing is ever unpickled.
torch is imported by the methods that need it, hence a client may import this module for its messages alone.
"""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import ConfigError, InputError, VasoMIMError
from vasomim_core.models.catalogue import DEFAULT_MODEL, find_model

if TYPE_CHECKING:
    import torch

    from vasomim_core.masking import Sampler

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


class Service:
    """What the child does. Each method takes the values of a request and returns those of the answer."""

    def __init__(self) -> None:
        # The time of the last change is part of the key: a file that was written again is read again.
        self._loaded = lru_cache(maxsize=2)(_load)

    def methods(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """The methods by name."""
        return {
            "hello": self.hello,
            "segment": self.segment,
            "mask_preview": self.mask_preview,
            "masking_heat_map": self.masking_heat_map,
            "reconstruct": self.reconstruct,
            "unload": self.unload,
        }

    def hello(self) -> dict[str, Any]:
        """The place of work: `torch` (version), `device` ("cpu", "cuda:0"), `device_name`, `threads`."""
        import torch

        _choose_threads()
        cuda = torch.cuda.is_available()
        return {
            "torch": str(torch.__version__),
            "device": f"cuda:{torch.cuda.current_device()}" if cuda else "cpu",
            "device_name": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
        }

    def segment(self, frame: NDArray[np.uint8], model: str = DEFAULT_MODEL, flips: bool = False) -> dict[str, Any]:
        """Segment a frame; the two models used last stay loaded.

        Args:
            frame: uint8 (H, W).
            model: name or path of a segmenter.
            flips: average over the four flips of the frame.

        Returns:
            `probability` and `uncertainty` (bits), float32 (H, W) in [0, 1]; `seconds` without loading; `device`;
            `model`, its name; `threshold`, the probability from which this model's pixels count as vessel.

        Raises:
            CheckpointError: no such model, or one that does not segment.
            InputError: not a grey 8-bit frame.
        """
        from vasomim_core.inference import predict, uncertainty

        _check_plane("frame", frame, "uint8")
        loaded = self._model("load_model", model)
        start = time.perf_counter()
        probability = predict(loaded, frame, flips)
        seconds = time.perf_counter() - start
        return {
            "probability": probability,
            "uncertainty": uncertainty(probability),
            "seconds": seconds,
            "device": str(loaded.device),
            "model": loaded.name,
            "threshold": loaded.card.preprocessing.threshold,
        }

    def mask_preview(
        self,
        anatomy: NDArray[np.bool_],
        patch_size: int = 16,
        mask_ratio: float = 0.5,
        sampler: Sampler = "anatomy",
        beta_start: float = 0.0,
        beta_end: float = 0.5,
        epochs: int = 200,
        epoch: int = 0,
        seed: int = 0,
    ) -> dict[str, Any]:
        """The mask of one epoch. A seed gives all epochs the same luck: what changes is the guidance alone.

        Args:
            anatomy: bool (H, W); sides that are no multiple of the patch size are filled up with background at the
                bottom and on the right.
            patch_size: P in pixels.
            mask_ratio: γ.
            sampler: "anatomy", "top-k" or "uniform".
            beta_start: β_0.
            beta_end: β_E.
            epochs: E.
            epoch: e, from 0.
            seed: of the mask.

        Returns:
            On the patch grid ⌈H/P⌉ × ⌈W/P⌉: `f`, the vascular distribution, float32; `masked`, bool; `guided`, bool,
            those of the masked patches that anatomy has chosen. `beta`, the guidance strength of the epoch.

        Raises:
            ConfigError: a setting out of range.
            InputError: not a plane of booleans.
        """
        import torch

        from vasomim_core.masking import guidance_strength, guided_patches, masked_count, sample_mask

        f, grid = _distribution(anatomy, patch_size)
        beta = guidance_strength(epoch, epochs, beta_start, beta_end)
        noise = torch.rand((2, *f.shape), generator=torch.Generator().manual_seed(seed))
        masked = sample_mask(f, mask_ratio, beta, sampler=sampler, noise=noise)
        guided = torch.zeros_like(masked)
        if sampler != "uniform":
            guided = guided_patches(f, masked_count(f.shape[1], mask_ratio), beta, noise, sampler)
        planes = {"f": f, "masked": masked, "guided": guided}
        return {"beta": beta} | {name: plane.reshape(grid).numpy() for name, plane in planes.items()}

    def masking_heat_map(
        self,
        anatomy: NDArray[np.bool_],
        patch_size: int = 16,
        mask_ratio: float = 0.5,
        sampler: Sampler = "anatomy",
        beta_start: float = 0.0,
        beta_end: float = 0.5,
        epochs: int = 200,
        seed: int = 0,
    ) -> dict[str, Any]:
        """How often each patch is masked in a whole schedule, each epoch with luck of its own.

        Args and errors as for `mask_preview`.

        Returns:
            `share`, float32 ⌈H/P⌉ × ⌈W/P⌉ in [0, 1].
        """
        import torch

        from vasomim_core.masking import masking_heat_map

        f, grid = _distribution(anatomy, patch_size)
        generator = torch.Generator().manual_seed(seed)
        share = masking_heat_map(f, mask_ratio, epochs, beta_start, beta_end, generator, sampler)
        return {"share": share.reshape(grid).numpy()}

    def reconstruct(
        self, frame: NDArray[np.uint8], anatomy: NDArray[np.bool_], model: str, beta: float = 0.5, seed: int = 0
    ) -> dict[str, Any]:
        """Mask a frame and let a pretrained model draw it.

        Args:
            frame: uint8 (H, W).
            anatomy: bool (H, W).
            model: name or path of a pretrained autoencoder.
            beta: guidance strength in [0, 1].
            seed: of the mask.

        Returns:
            The arrays of `vasomim_core.inference.Reconstruction` (what is None there is absent here), `model`,
            `seconds` without loading, and `device`.

        Raises:
            CheckpointError: no such model, or one that was not pretrained.
            ConfigError: β out of range.
            InputError: frame and anatomy that do not fit.
        """
        from vasomim_core.inference import reconstruct

        _check_plane("frame", frame, "uint8")
        _check_plane("anatomy", anatomy, "bool")
        if frame.shape != anatomy.shape:
            raise InputError(f"the anatomy is {_size(anatomy)} the frame {_size(frame)}; extract it from this frame")
        network, _ = self._model("load_pretrained", model)
        start = time.perf_counter()
        view = reconstruct(network, frame, anatomy, beta, seed)
        seconds = time.perf_counter() - start
        arrays = {name: array for name, array in vars(view).items() if array is not None}
        device = str(network.autoencoder.pos_embed.device)
        return arrays | {"model": find_model(model).stem, "seconds": seconds, "device": device}

    def unload(self) -> dict[str, Any]:
        """Forget all models and give their memory back, that of the GPU too."""
        self._loaded.cache_clear()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return {}

    def _model(self, loader: str, name_or_path: str) -> Any:
        path = find_model(name_or_path)
        return self._loaded(loader, path, path.stat().st_mtime_ns)


def _load(loader: str, path: Path, changed: int) -> Any:
    from vasomim_core.models import registry

    return getattr(registry, loader)(path)


def _distribution(anatomy: NDArray[np.bool_], patch_size: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """The vascular distribution (1, N) of a padded anatomy, and its grid."""
    import torch

    from vasomim_core.masking import vascular_distribution

    _check_plane("anatomy", anatomy, "bool")
    if not 1 <= patch_size <= max(anatomy.shape):
        raise ConfigError(f"patch size is {patch_size}; give a side from 1 px to that of the frame, {_size(anatomy)}")
    padded = np.pad(anatomy, [(0, -side % patch_size) for side in anatomy.shape])
    rows, columns = (side // patch_size for side in padded.shape)
    return vascular_distribution(torch.from_numpy(padded)[None], patch_size), (rows, columns)


def _check_plane(name: str, plane: Any, dtype: str) -> None:
    if not isinstance(plane, np.ndarray) or plane.ndim != 2 or plane.dtype != dtype or plane.size == 0:
        given = f"{plane.dtype} {plane.shape}" if isinstance(plane, np.ndarray) else type(plane).__name__
        raise InputError(f"{name} is {given}; give one plane of {dtype} (H, W)")


def _size(plane: NDArray[Any]) -> str:
    return f"{plane.shape[0]}×{plane.shape[1]} px"


@cache  # once
def _choose_threads() -> None:
    """Leave a core to the window where there are more than two, unless the environment says how many to take."""
    import torch

    threads = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ and threads > 2:
        torch.set_num_threads(threads - 1)


def reply_to(request: Message, methods: Mapping[str, Callable[..., dict[str, Any]]]) -> list[memoryview]:
    """The answer to a request, or the error that it ended in, encoded.

    An error carries `type`, `message` (a sentence for a person) and `report`: where in the code something unexpected
    happened, without any value, since one may name a person; empty for the errors that are meant for a person.
    """
    try:
        if request.kind not in methods:
            raise ConfigError(f"unknown method {request.kind!r}; choose one of {', '.join(methods)}")
        return encode(Message("answer", methods[request.kind](**request.values)))
    except VasoMIMError as error:
        return encode(Message("error", {"type": type(error).__name__, "message": str(error), "report": ""}))
    except Exception as error:
        report = "".join([*traceback.format_tb(error.__traceback__), type(error).__name__])
        return encode(Message("error", {"type": type(error).__name__, "message": _sentence(error), "report": report}))


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own, without torch
        return "there is not enough memory for this frame and model; close other programs, or choose a smaller model"
    first = str(error).partition("\n")[0]
    return f"the inference process met something unexpected ({type(error).__name__}: {first}); please report it"


def serve(methods: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer requests until standard input closes; then this process ends at once, whatever it is doing.

    Standard output carries messages alone: what any library prints goes to standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is meant for the window
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, waiting), daemon=True).start()
    while True:
        reply = reply_to(waiting.get(), methods)
        try:
            send(replies, reply)
        except BrokenPipeError:
            os._exit(0)


def _receive(stream: BufferedReader, waiting: queue.SimpleQueue[Message]) -> None:
    """Read ahead, so that the end of the input is noticed also in the midst of a long answer."""
    code = 1
    try:
        while (message := receive(stream)) is not None:
            waiting.put(message)
        code = 0
    except (InputError, OSError) as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(code)


if __name__ == "__main__":
    # Before torch loads: threads that spin while they wait make a frame 20 times slower beside a finetuning run.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    serve(Service().methods())

"""The inference child: a process that holds the models, so that a window need not load torch.

`python -m vasomim_core.serving` answers requests on standard input over standard output, one at a time and in order,
until its input closes. What a request and a reply look like: `vasomim_core.messages`.
"""

from __future__ import annotations

import gc
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import ConfigError, InputError, VasoMIMError
from vasomim_core.masking_schedule import MaskingSchedule
from vasomim_core.messages import Message, encode, receive, send
from vasomim_core.models.catalogue import DEFAULT_MODEL, find_model, version_of

if TYPE_CHECKING:
    import torch


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

    def segment(self, frame: NDArray[np.uint8], model: str = DEFAULT_MODEL, mirrored: bool = False) -> dict[str, Any]:
        """Segment a frame; the two models used last stay loaded.

        Args:
            frame: uint8 (H, W).
            model: name or path of a segmenter.
            mirrored: average with the frame flipped left to right; some models always do.

        Returns:
            `probability` and `uncertainty` (bits), float32 (H, W) in [0, 1]; `seconds` without loading; `device`;
            `model`, its name; `version`, see `catalogue.version_of`; `threshold`, the probability from which this
            model's pixels count as vessel.

        Raises:
            CheckpointError: no such model, or one that does not segment.
            InputError: not a grey 8-bit frame.
        """
        from vasomim_core.inference import predict, uncertainty

        _check_plane("frame", frame, "uint8")
        version = version_of(model)
        loaded = self._model("load_model", model)
        start = time.perf_counter()
        probability = predict(loaded, frame, mirrored)
        seconds = time.perf_counter() - start
        return {
            "probability": probability,
            "uncertainty": uncertainty(probability),
            "seconds": seconds,
            "device": str(loaded.device),
            "model": loaded.name,
            "version": version,
            "threshold": loaded.card.preprocessing.threshold,
        }

    def mask_preview(
        self, anatomy: NDArray[np.bool_], patch_size: int = 16, epoch: int = 0, **schedule: Any
    ) -> dict[str, Any]:
        """The mask of one epoch. A seed gives all epochs the same luck: what changes is the guidance alone.

        Args:
            anatomy: bool (H, W); sides that are no multiple of the patch size are filled up with background at the
                bottom and on the right.
            patch_size: P in pixels.
            epoch: e, from 0.
            schedule: the other fields of `MaskingSchedule`.

        Returns:
            On the patch grid ⌈H/P⌉ × ⌈W/P⌉: `f`, the vascular distribution, float32; `masked`, bool; `guided`, bool,
            those of the masked patches that anatomy has chosen. `beta`, the guidance strength of the epoch.

        Raises:
            ConfigError: a setting out of range.
            InputError: not a plane of booleans.
        """
        import torch

        from vasomim_core.masking import guided_patches, masked_count, sample_mask

        given = MaskingSchedule(patch_size, **schedule)
        f, grid = _distribution(anatomy, patch_size)
        beta = given.beta(epoch)
        noise = torch.rand((2, *f.shape), generator=torch.Generator().manual_seed(given.seed))
        masked = sample_mask(f, given.mask_ratio, beta, sampler=given.sampler, noise=noise)
        guided = torch.zeros_like(masked)
        if given.sampler != "uniform":
            guided = guided_patches(f, masked_count(f.shape[1], given.mask_ratio), beta, noise, given.sampler)
        planes = {"f": f, "masked": masked, "guided": guided}
        return {"beta": beta} | {name: plane.reshape(grid).numpy() for name, plane in planes.items()}

    def masking_heat_map(self, anatomy: NDArray[np.bool_], patch_size: int = 16, **schedule: Any) -> dict[str, Any]:
        """How often each patch is masked in a whole schedule, each epoch with luck of its own.

        Args and errors as for `mask_preview`.

        Returns:
            `share`, float32 ⌈H/P⌉ × ⌈W/P⌉ in [0, 1].
        """
        import torch

        from vasomim_core.masking import masking_heat_map

        given = MaskingSchedule(patch_size, **schedule)
        f, grid = _distribution(anatomy, patch_size)
        generator = torch.Generator().manual_seed(given.seed)
        share = masking_heat_map(
            f, given.mask_ratio, given.epochs, given.beta_start, given.beta_end, generator, given.sampler
        )
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
        return self._loaded(loader, path, version_of(name_or_path))


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

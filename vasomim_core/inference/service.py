"""The inference child: a process that holds the models, so that a window need not load torch.

`python -m vasomim_core.inference.service` answers requests on standard input over standard output, one at a time and
in order, until its input closes. What a request and a reply look like: `vasomim_core.inference.messages`.
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
from vasomim_core.inference.messages import Message, encode, receive, send
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import DEFAULT_MODEL, find_model, version_of
from vasomim_core.schema import from_dict

if TYPE_CHECKING:
    from vasomim_core.inference.frame_masking import FrameMasking


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
            "masking_over_epochs": self.masking_over_epochs,
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
        from vasomim_core.inference.prediction import check_plane, predict, uncertainty

        check_plane("frame", frame, "uint8")
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

    def mask_preview(self, epoch: int = 0, **masking: Any) -> dict[str, Any]:
        """The mask of one epoch.

        Args:
            epoch: e, from 0.
            masking: `frame`, `anatomy`, `schedule` and `model`, see `_masking`.

        Returns:
            The values of `masking_results.Mask`.

        Raises:
            CheckpointError: no such model, or one that was not pretrained.
            ConfigError: a setting out of range, or one that the model does not permit.
            InputError: frame and anatomy that do not fit.
        """
        return vars(self._masking(**masking).mask(epoch))

    def masking_over_epochs(self, **masking: Any) -> dict[str, Any]:
        """What the whole schedule does: arguments and errors as for `mask_preview`.

        Returns:
            The values of `masking_results.OverEpochs`.
        """
        return vars(self._masking(**masking).over_epochs())

    def reconstruct(self, epoch: int = 0, **masking: Any) -> dict[str, Any]:
        """Let a pretrained model draw what is masked in one epoch: arguments and errors as for `mask_preview`.

        Returns:
            The values of `masking_results.Reconstruction`.
        """
        this = self._masking(**masking)
        return vars(this.reconstruct(this.mask(epoch)))

    def unload(self) -> dict[str, Any]:
        """Forget all models and give their memory back, that of the GPU too."""
        self._loaded.cache_clear()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return {}

    def _masking(
        self, frame: NDArray[np.uint8], anatomy: NDArray[np.bool_], schedule: dict[str, Any], model: str = ""
    ) -> FrameMasking:
        """The masking of a frame.

        Args:
            frame: uint8 (H, W).
            anatomy: bool (H, W).
            schedule: the fields of a `MaskingSchedule`.
            model: name or path of a pretrained autoencoder; "" = none.
        """
        from vasomim_core.inference.frame_masking import FrameMasking

        settings = from_dict(MaskingSchedule, schedule)
        network = self._model("load_pretrained", model, input_size=settings.input_size)[0] if model else None
        return FrameMasking(frame, anatomy, settings, network)

    def _model(self, loader: str, name_or_path: str, **options: Any) -> Any:
        path = find_model(name_or_path)
        return self._loaded(loader, path, version_of(path), **options)


def _load(loader: str, path: Path, changed: int, **options: Any) -> Any:
    from vasomim_core.models import registry

    return getattr(registry, loader)(path, **options)


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

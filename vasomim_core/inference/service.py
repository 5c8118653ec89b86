"""The inference child: a process that holds the models, so that a window need not load torch.

`python -m vasomim_core.inference.service` answers requests on standard input over standard output, one at a time and
in order, until its input closes. What a request and a reply look like: `vasomim_core.inference.messages`.
"""

from __future__ import annotations

import os
import platform
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from vasomim_core.errors import ConfigError, InputError, VasoMIMError
from vasomim_core.inference.messages import Failure, Message, decode, encode, receive, send
from vasomim_core.inference.requests import (
    Environment,
    Hello,
    MaskingOverEpochs,
    MaskingRequest,
    MaskPreview,
    Reconstruct,
    Request,
    Segment,
    Segmentation,
)
from vasomim_core.masking.results import Mask, OverEpochs, Reconstruction
from vasomim_core.models.catalogue import find_model, version_of

if TYPE_CHECKING:
    from vasomim_core.inference.frame_masking import FrameMasking
    from vasomim_core.models.prediction import Model
    from vasomim_core.models.vasomim import VasoMIM

Handlers = Mapping[type[Request[Any]], Callable[[Any], Any]]
"""What answers each kind of request."""


class Service:
    """What the child does.

    A request that cannot be answered raises a `CheckpointError` (no such model, or none of the kind that is needed), a
    `ConfigError` (a setting out of range, or one that the model does not permit), or an `InputError` (arrays that are
    not what they should be, or do not fit each other).
    """

    def __init__(self) -> None:
        # The time of the last change is part of the key: a file that was written again is read again.
        self._loaded = lru_cache(maxsize=2)(_load)
        self._kept: tuple[tuple[Any, ...], FrameMasking] | None = None

    def handlers(self) -> Handlers:
        """What answers each kind of request."""
        return {
            Hello: self.hello,
            Segment: self.segment,
            MaskPreview: self.mask_preview,
            MaskingOverEpochs: self.masking_over_epochs,
            Reconstruct: self.reconstruct,
        }

    def hello(self, _: Hello) -> Environment:
        """Load torch, and say where it computes."""
        import torch

        _choose_threads()
        cuda = torch.cuda.is_available()
        return Environment(
            torch=str(torch.__version__),
            device=f"cuda:{torch.cuda.current_device()}" if cuda else "cpu",
            device_name=torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
            threads=torch.get_num_threads(),
        )

    def segment(self, request: Segment) -> Segmentation:
        """Segment a frame."""
        from vasomim_core.models.prediction import uncertainty

        version = version_of(request.model)
        model: Model = self._model("load_model", request.model)
        start = time.perf_counter()
        found = model.predict_classes(request.frame, request.mirrored)
        return Segmentation(
            probability=found.vessel,
            classes=found.classes,
            rules=model.rules,
            seconds=time.perf_counter() - start,
            uncertainty=uncertainty(found.vessel),
            device=str(model.device),
            model=model.name,
            version=version,
            threshold=model.card.preprocessing.threshold,
        )

    def mask_preview(self, request: MaskPreview) -> Mask:
        """Draw the mask of an epoch."""
        return self._masking(request).mask(request.epoch)

    def masking_over_epochs(self, request: MaskingOverEpochs) -> OverEpochs:
        """Draw the masks of all epochs."""
        return self._masking(request).over_epochs()

    def reconstruct(self, request: Reconstruct) -> Reconstruction:
        """Let a pretrained model draw what the mask of an epoch hides."""
        model = self._pretrained(request)
        if model is None:
            raise ConfigError("no model is given; choose a pretrained one")
        masking = self._masking(request)
        return masking.reconstruct(masking.mask(request.epoch), model)

    def _masking(self, request: MaskingRequest[Any]) -> FrameMasking:
        """That of the request before where this one is about the same: a mask is drawn once, whoever asks for it."""
        from vasomim_core.inference.frame_masking import FrameMasking

        frame, anatomy, schedule = request.frame, request.anatomy, request.schedule
        guide = self._pretrained(request) if schedule.co_guidance else None
        other = self._model("load_guide", request.guide)[0] if request.guide else None
        about = (*_content(frame), *_content(anatomy), schedule, guide, other)
        if self._kept is None or self._kept[0] != about:
            self._kept = about, FrameMasking(frame, anatomy, schedule, guide, other)
        return self._kept[1]

    def _pretrained(self, request: MaskingRequest[Any]) -> VasoMIM | None:
        if not request.model:
            return None
        return self._model("load_pretrained", request.model, input_size=request.schedule.input_size)[0]

    def _model(self, loader: str, name_or_path: str, **options: Any) -> Any:
        path = find_model(name_or_path)
        return self._loaded(loader, path, version_of(path), **options)


def _content(array: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.name, array.shape, array.tobytes()


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


def reply_to(message: Message, handlers: Handlers) -> list[memoryview]:
    """The answer to a request, or the `Failure` that it ended in, encoded.

    What is reported of something unexpected holds no value, since one may name a person.
    """
    try:
        kinds = {kind.__name__: kind for kind in handlers}
        if message.kind not in kinds:
            raise ConfigError(f"unknown request {message.kind!r}; choose one of {', '.join(kinds)}")
        kind = kinds[message.kind]
        return encode(handlers[kind](decode(message, kind)))
    except VasoMIMError as error:
        return encode(Failure(type(error).__name__, str(error)))
    except Exception as error:
        report = "".join([*traceback.format_tb(error.__traceback__), type(error).__name__])
        return encode(Failure(type(error).__name__, _sentence(error), report))


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own, without torch
        return "there is not enough memory for this frame and model; close other programs, or choose a smaller model"
    first = str(error).partition("\n")[0]
    return f"the inference process met something unexpected ({type(error).__name__}: {first}); please report it"


def serve(handlers: Handlers) -> None:
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
        reply = reply_to(waiting.get(), handlers)
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
    serve(Service().handlers())

"""Every method in the smallest size, and batches as it gets them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from vasomim_core.config import Pretraining
from vasomim_core.methods.method import Method, Moment
from vasomim_core.methods.settings import METHODS, learner_of
from vasomim_core.models import vit
from vasomim_core.training.crops import Views

DECODER = {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
SMALL: dict[str, dict] = {
    "vasomim": {**DECODER, "consistency": 0.0},
    "mae": DECODER,
    "simmim": {},
    "amt": {**DECODER, "uniform_share": 0.5, "refresh": 0.5},
    "hpm": DECODER,
    "deblurring": DECODER,
    "crossmae": {**DECODER, "decoder_depth": 2},
    "chexworld": {"predictor_width": 24, "predictor_depth": 1, "predictor_heads": 2},
    "mocov3": {"hidden": 32, "output": 16},
    "dino": {"small_views": 2, "small_size": 32, "prototypes": 64, "head_width": 32, "bottleneck": 16},
}
EPOCHS = 2
"""Of eight frames in batches of four: two steps each."""


def shrink() -> None:
    """Make the smallest encoder smaller still, in this process: what is tested does not depend on its size."""
    vit._SIZES["tiny"] = (48, 4, 3)


def settings(name: str, **changes) -> Pretraining:
    """Of a method at 64 px with 4×4 patches, or as its paper has it but for what is changed."""
    kind = METHODS[name].settings
    training = replace(
        kind("data", "run").training, epochs=EPOCHS, batch_size=4, device="cpu", precision="fp32", warmup=0.0
    )
    return kind(**{"data": "data", "run": "run", "encoder": "tiny", "training": training} | changes)


def small(name: str, **changes) -> Pretraining:
    return settings(name, **{"input_size": 64, **SMALL[name]} | changes)


def learner(config: Pretraining, seed: int = 0) -> Method:
    torch.manual_seed(seed)
    return learner_of(config)(config)


class Frames:
    """As a store of eight frames with dark lines."""

    fingerprint = "made"

    def __init__(self, shape: tuple[int, int] = (96, 80)):
        rng = np.random.default_rng(0)
        self.frames = [(rng.normal(150, 5, shape)).clip(0, 255).astype(np.uint8) for _ in range(8)]
        for n, frame in enumerate(self.frames):
            frame[:, 10 + 6 * n : 14 + 6 * n] = 60

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.frames[index], (self.frames[index] < 80).astype(np.uint8) * 255


def begun(config: Pretraining) -> tuple[Method, dict[str, torch.Tensor]]:
    """A method before its first step, and its first batch."""
    method, frames = learner(config), Frames()
    method.begin(frames, None)
    views = Views(frames, method.view(), 0)
    items = [views[(0, index)] for index in range(config.training.batch_size)]
    return method, {name: torch.stack([item[name] for item in items]) for name in items[0]}


def moment(config: Pretraining, step: int = 0, steps: int = 4) -> Moment:
    rows = config.training.batch_size
    epoch = step * config.training.epochs // steps
    return Moment(step, epoch, slice(0, rows), rows, config.training.seed, steps)


def images(count: int = 2, size: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def with_gradient(method: Method) -> set[str]:
    return {name for name, p in method.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}

"""What networks take in time and memory, as it was measured; torch is not loaded here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What a network with default options takes, measured on 2 cores (AMD EPYC, AVX512-BF16); grows with the area.

    Attributes:
        title: of the network, for people.
        step: seconds per frame of a training step at 256 px.
        validation: seconds per validated frame of 512 px.
        memory: bytes per frame of a training step at 256 px.
    """

    title: str
    step: float
    validation: float
    memory: float


COSTS: dict[str, Cost] = {
    "unext": Cost("UNeXt-S", 0.016, 0.036, 20e6),
    "unet": Cost("U-Net", 0.077, 0.11, 75e6),
    "resunet": Cost("residual U-Net", 0.02, 0.065, 30e6),
    "effunet": Cost("U-Net over EfficientNet-Lite", 0.08, 0.14, 100e6),
    "effunet-small": Cost("small U-Net over EfficientNet-Lite", 0.06, 0.09, 100e6),
    "vit": Cost("ViT", 0.14, 0.5, 160e6),
}
PRETRAINING = 0.09
"""Per frame of a pretraining step of ViT-S with its default decoder at 224 px; grows with the area."""
METHOD: dict[str, float] = {
    "mae": 0.55,
    "simmim": 1.2,
    "amt": 0.4,
    "hpm": 1.2,
    "deblurring": 0.55,
    "crossmae": 0.45,
    "chexworld": 6.6,
    "mocov3": 3.4,
    "dino": 4.7,
}
"""Work of a method with its own settings relative to VasoMIM's, measured for ViT-S at 224 px; others count as 1."""
ENCODER: dict[str, float] = {"tiny": 0.4, "small": 1.0, "base": 3.5, "large": 11.0}
"""Work of an encoder with its decoder, relative to "small"; the two largest from their number of parameters."""
START, PREPARE = 12.0, 0.04
"""Seconds until torch is loaded; seconds per frame to read it, scale it and (pretraining) extract its anatomy."""
BASE = 1.0e9
"""Bytes that a training process takes before its first batch."""


def network_title(architecture: str) -> str:
    """What people call a network; one that is not known here is a ViT."""
    return COSTS.get(architecture, COSTS["vit"]).title


def area(side: int, measured: int) -> float:
    """The work of a square of `side` px, relative to the side at which it was measured."""
    return (side / measured) ** 2


def encoder_work(architecture: str, encoder: str | None) -> float:
    """The work of a network, relative to that in `COSTS`: 1 but for a ViT, which comes in sizes."""
    return ENCODER[encoder or "small"] if architecture == "vit" else 1.0

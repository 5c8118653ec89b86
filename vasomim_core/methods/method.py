"""What a pretraining method is to the trainer: a network that computes its own loss, and says what else happens.

A method is one file with one class: `__init__` builds its networks, `forward` is its loss. The rest has a default that
is right for a masked autoencoder; a method with a slow copy, a centre or a schedule overrides what it needs.

Nothing random has a state: masks come from `moment.seed` and `moment.step`, views from (seed, epoch, frame), and what
changes besides the weights is a buffer. So what `state_dict` holds is all that an exact resume needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vasomim_core.config import Pretraining
from vasomim_core.data.augment import Grey
from vasomim_core.data.store import Prepared
from vasomim_core.masking.sampling import mask_noise
from vasomim_core.methods.views import Crop
from vasomim_core.models.catalogue import Preprocessing
from vasomim_core.models.encoder import Encoder
from vasomim_core.models.preprocessing import normalise

Batch = dict[str, Tensor]
View = Callable[[Grey, Grey, np.random.Generator], dict[str, Any]]
"""Frame and anatomy, uint8 (H, W), and a source of chance → arrays by name, the same shapes for every frame."""


@dataclass(frozen=True)
class Moment:
    """Where in the run a batch stands, and which rows of the whole batch these are.

    Attributes:
        step: 0-based optimiser step.
        epoch: 0-based epoch.
        rows: the rows of the whole batch that are computed here and now.
        batch_size: rows of the whole batch.
        seed: of the run.
        steps: of the whole run.
    """

    step: int
    epoch: int
    rows: slice
    batch_size: int
    seed: int
    steps: int = 1

    @property
    def progress(self) -> float:
        """The share of the run that has passed before this step, in [0, 1)."""
        return self.step / self.steps

    def noise(self, count: int, device: torch.device | str) -> Tensor:
        """Uniform numbers in [0, 1) for the masks of these rows, (2, B, count): the same however a batch is split."""
        return mask_noise(self.seed, self.step, self.batch_size, count, device)[:, self.rows]

    def generator(self) -> np.random.Generator:
        """A source of chance for the whole batch of this step."""
        return np.random.default_rng([self.seed, self.step])


C = TypeVar("C", bound=Pretraining)


class Method(nn.Module, Generic[C]):
    """A pretraining method; a subclass sets `encoder` and writes `forward`.

    Args:
        config: its settings.

    Attributes:
        encoder: the ViT that learns.
        anatomy: whether `batch["mask"]` must hold the vessels that the filter finds.
        rate_scale: factor of the learning rate.
    """

    encoder: Encoder
    anatomy: ClassVar[bool] = False
    rate_scale: float = 1.0

    def __init__(self, config: C):
        super().__init__()
        self.config, self.preprocessing = config, Preprocessing()

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """The loss of some rows of a batch.

        Args:
            batch: what `view` gives, stacked, and "index", int64 (B,): which frame of the store each row is.
            moment: where in the run.

        Returns:
            Scalars by name; "loss" is minimised, the others are reported.
        """
        raise NotImplementedError

    def view(self) -> View:
        """What is cut out of a frame; it is sent to other processes and knows no tensor. Here: one random crop."""
        return Crop(self.config.input_size)

    def begin(self, frames: Prepared, segmentor: nn.Module | None) -> None:
        """Called once before the first step: with all frames of the run, and with S where `needs_segmentor`."""

    @property
    def needs_segmentor(self) -> bool:
        """Whether a segmentor S must be there."""
        return False

    def before_epoch(self, epoch: int) -> None:
        """Called before the first step of a 0-based epoch, by all processes."""

    def before_step(self, moment: Moment, optimiser: torch.optim.Optimizer) -> None:
        """Called when the gradients of a step are there, and before they are used."""

    def after_step(self, moment: Moment) -> None:
        """Called after a step of the optimiser: here slow copies follow, without gradient."""

    def notes(self, epoch: int) -> dict[str, float]:
        """What a run tells of an epoch besides its losses."""
        return {}

    def fuse(self) -> None:
        """Let torch.compile fuse the network."""
        self.encoder.compile()

    def keeps(self) -> VisionTransformer:
        """The ViT of which the model file is made: the one that learns, or the slow copy of a method that keeps it."""
        return self.encoder

    def images(self, frames: Tensor) -> Tensor:
        """Grey frames, uint8 (B, H, W), as networks take them: float32 (B, 3, H, W), ImageNet-normalised."""
        return normalise(frames, self.preprocessing)

    def kept(self) -> dict[str, Tensor]:
        """The tensors of the model file, in MAE's and timm's naming."""
        return encoder_tensors(self.keeps())

    def words(self) -> str:
        """By what the encoder was pretrained, for people."""
        return (self.config.__doc__ or self.config.method).partition(":")[0]

    def described(self) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        """Kind and architecture of the model file, what the architecture is built with, and settings for its card."""
        config = self.config
        options = {"encoder": config.encoder, "input_size": config.input_size, "patch_size": config.patch_size}
        return "encoder", "encoder", options, {}


def encoder_tensors(vit: VisionTransformer) -> dict[str, Tensor]:
    """The tensors of an encoder, or of the encoder's half of an autoencoder."""
    decoder = ("decoder", "mask_token")
    return {name: value for name, value in vit.state_dict().items() if not name.startswith(decoder)}

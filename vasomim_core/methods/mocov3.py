"""MoCo v3: the two views of a frame must be more alike than views of different frames; there are no masks.

Source: Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021. Encoder, projector
and predictor make queries q of both views, slow copies of encoder and projector make keys k; all have unit length. The
loss is 2τ·CE(q·kᵀ/τ) with the other view of the same frame as the class, over the keys of the whole batch, both ways
added. The copy follows with m = 1 − ½(1 + cos(πe/E))·0.01 before the keys are made; the patch embedding is frozen.

Card silent: the class token is what is projected; layers are drawn as by the authors (queries, keys and values of a
block apart, Xavier-uniform); positions are sines and cosines.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.errors import ConfigError
from vasomim_core.methods import processes
from vasomim_core.methods.copies import follow, half_cosine, slow_copy
from vasomim_core.methods.heads import moco_head
from vasomim_core.methods.method import Batch, Method, Moment
from vasomim_core.methods.settings import MoCoV3Config
from vasomim_core.methods.views import Jitter, ManyCrops
from vasomim_core.models.encoder import Encoder

SCALE = (0.08, 1.0)
VIEWS = (Jitter(SCALE, blur=1.0), Jitter(SCALE, blur=0.1, solarise=0.2))


class MoCoV3(Method[MoCoV3Config]):
    """Two views, a slow copy, and the contrastive loss over the whole batch."""

    def __init__(self, config: MoCoV3Config):
        super().__init__(config)
        if config.training.batch_size < 2:
            raise ConfigError("MoCo v3 compares the frames of a batch with one another; choose --batch-size 2 or more")
        self.encoder = Encoder(config.encoder, config.input_size, config.patch_size)
        draw_weights(self.encoder)
        if config.freeze_patches:
            self.encoder.patch_embed.requires_grad_(False)
        self.projector = moco_head([self.encoder.embed_dim, config.hidden, config.hidden, config.output])
        self.predictor = moco_head([config.output, config.hidden, config.output])
        self.slow, self.slow_projector = slow_copy(self.encoder), slow_copy(self.projector)

    def view(self) -> ManyCrops:
        """Two large views."""
        return ManyCrops(self.config.input_size, VIEWS)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """The contrastive loss, first view to second and back."""
        one, two = (self.images(view) for view in batch["views"].unbind(1))
        queries = [self.predictor(self.projector(self.encoder(images)[:, 0])) for images in (one, two)]
        with torch.no_grad():
            keys = [self.slow_projector(self.slow(images)[:, 0]) for images in (one, two)]
        first, temperature = moment.rows.start, self.config.temperature
        forth = contrast(queries[0], processes.gathered(keys[1]), first, temperature)
        back = contrast(queries[1], processes.gathered(keys[0]), first, temperature)
        return {"loss": forth + back}

    def momentum(self, progress: float) -> float:
        """m, after a share of the run."""
        return half_cosine(self.config.momentum, 1.0, progress)

    def after_step(self, moment: Moment) -> None:
        """The copy follows for the next step, whose keys are made after that; before the first there is no need."""
        decay = self.momentum((moment.step + 1) / moment.steps)
        follow(self.slow, self.encoder, decay)
        follow(self.slow_projector, self.projector, decay)


def contrast(queries: Tensor, keys: Tensor, first: int, temperature: float) -> Tensor:
    """2τ·CE(q·kᵀ/τ): query i must be most like key `first` + i.

    Args:
        queries: (B, D).
        keys: (K, D), those of the whole batch.
        first: which key is that of the first query.
        temperature: τ.
    """
    q, k = F.normalize(queries.float(), dim=1), F.normalize(keys.float(), dim=1)
    labels = torch.arange(len(q), device=q.device) + first
    return 2 * temperature * F.cross_entropy(q @ k.T / temperature, labels)


def draw_weights(encoder: Encoder) -> None:
    """As MoCo v3 draws a ViT: Xavier-uniform, queries, keys and values of a block apart; a class token near zero."""
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Linear):
            parts = 3 if name.endswith("qkv") else 1
            bound = math.sqrt(6 / (module.weight.shape[0] / parts + module.weight.shape[1]))
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
    patches = encoder.patch_embed.proj
    bound = math.sqrt(6 / (patches.weight[0].numel() + encoder.embed_dim))
    nn.init.uniform_(patches.weight, -bound, bound)
    nn.init.zeros_(patches.bias)
    nn.init.normal_(encoder.cls_token, std=1e-6)

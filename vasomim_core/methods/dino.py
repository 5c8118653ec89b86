"""DINO: a student that sees large and small views of a frame must say what its teacher, a slow copy, says of the large.

Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021. The teacher's outputs are
centred and sharpened (τ_t 0.04), the student's divided by τ_s 0.1; the loss is the cross-entropy, the mean over all
pairs of different views. The teacher follows with 0.996 → 1, the centre with 0.9; weight decay rises from 0.04 to 0.4;
the last layer does not learn in the first epoch. The teacher is kept.

Card silent: all three schedules are half cosines over the steps; positions are learned, as published; gradients are
clipped over all parameters together, as this trainer does it (there, each parameter by itself). K, the number of
outputs, is 4,096 here, for a pool of some thousand frames; 65,536 were published.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from vasomim_core.errors import ConfigError
from vasomim_core.methods import processes
from vasomim_core.methods.copies import follow, half_cosine, slow_copy
from vasomim_core.methods.heads import DINOHead
from vasomim_core.methods.method import Batch, Method, Moment
from vasomim_core.methods.settings import DINOConfig
from vasomim_core.methods.views import Jitter, ManyCrops
from vasomim_core.models.encoder import Encoder

LARGE, SMALL = (0.4, 1.0), (0.05, 0.4)


class DINO(Method[DINOConfig]):
    """Large and small views, a teacher, and what they say of each other's."""

    centre: Tensor

    def __init__(self, config: DINOConfig):
        super().__init__(config)
        if config.small_size % config.patch_size:
            raise ConfigError(
                f"small views of {config.small_size} px do not divide into patches of {config.patch_size} px; "
                "choose a --small-size that is a multiple of the patch size"
            )
        self.encoder = Encoder(config.encoder, config.input_size, config.patch_size, learned_positions=True)
        self.head = DINOHead(self.encoder.embed_dim, config.head_width, config.bottleneck, config.prototypes)
        self.teacher, self.teacher_head = slow_copy(self.encoder), slow_copy(self.head)
        self.register_buffer("centre", torch.zeros(config.prototypes))
        # What the teacher says in a step, by the first row of each part: the sum of its outputs, and of how many. A
        # part that memory did not suffice for is asked again, in smaller ones, which begin at the same rows.
        self.said: dict[int, tuple[Tensor, int]] = {}

    def view(self) -> ManyCrops:
        """Two large views and several small ones."""
        c = self.config
        large = (Jitter(LARGE, blur=1.0), Jitter(LARGE, blur=0.1, solarise=0.2))
        return ManyCrops(c.input_size, large, c.small_size, Jitter(SMALL, blur=0.5), c.small_views)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """Cross-entropy over all pairs of different views."""
        large = self.images(batch["views"].transpose(0, 1).flatten(0, 1))
        with torch.no_grad():
            teacher = self.teacher_head(self.teacher(large)[:, 0])
        tokens = [self.encoder(large)[:, 0]]
        if "small" in batch:
            tokens.append(self.encoder(self.images(batch["small"].transpose(0, 1).flatten(0, 1)))[:, 0])
        student = self.head(torch.cat(tokens))
        if self.training:
            self.said[moment.rows.start] = teacher.sum(dim=0), len(teacher)
        rows, c = len(batch["views"]), self.config
        loss = distillation(
            student.view(-1, rows, c.prototypes),
            teacher.view(-1, rows, c.prototypes),
            self.centre,
            c.teacher_temperature,
            c.student_temperature,
        )
        return {"loss": loss}

    def before_step(self, moment: Moment, optimiser: torch.optim.Optimizer) -> None:
        """The last layer does not learn at first; weight decay rises."""
        if moment.epoch < self.config.frozen_epochs:
            self.head.last.grad = None
        optimiser.param_groups[0]["weight_decay"] = self.weight_decay(moment.progress)

    def after_step(self, moment: Moment) -> None:
        """The teacher and the centre follow."""
        decay = half_cosine(self.config.momentum, 1.0, moment.progress)
        follow(self.teacher, self.encoder, decay)
        follow(self.teacher_head, self.head, decay)
        said = processes.summed(torch.stack([total for total, _ in self.said.values()]).sum(dim=0))
        mean = said / (sum(count for _, count in self.said.values()) * processes.place()[1])
        self.centre.lerp_(mean, 1 - self.config.centre_momentum)
        self.said.clear()

    def weight_decay(self, progress: float) -> float:
        """Of the weights, after a share of the run; biases and 1-D tensors have none."""
        return half_cosine(self.config.training.weight_decay, self.config.weight_decay_end, progress)

    def keeps(self) -> VisionTransformer:
        """The teacher."""
        return self.teacher


def distillation(student: Tensor, teacher: Tensor, centre: Tensor, sharp: float, soft: float) -> Tensor:
    """−Σ softmax((t − c)/τ_t)·log softmax(s/τ_s), the mean over frames and all pairs of different views.

    Args:
        student: s, (V, B, K); its first views are those that the teacher sees.
        teacher: t, (T, B, K), T ≤ V.
        centre: c, (K,).
        sharp: τ_t.
        soft: τ_s.
    """
    targets = ((teacher.float() - centre) / sharp).softmax(dim=-1).detach()
    logs = F.log_softmax(student.float() / soft, dim=-1)
    pairs = [(t, v) for t in range(len(targets)) for v in range(len(logs)) if t != v]
    return torch.stack([-(targets[t] * logs[v]).sum(dim=-1).mean() for t, v in pairs]).mean()

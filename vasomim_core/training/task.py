"""What each job hands to the trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.utils.data import Dataset

from vasomim_core.training.batches import Batch, Moment

L = TypeVar("L", bound=nn.Module)


@dataclass(frozen=True)
class Task(Generic[L]):
    """What there is to learn, as the trainer is handed it.

    Attributes:
        name: pretrain, finetune or segmentor.
        learner: computes its own losses: `forward(batch, moment)` → scalars by name, "loss" among them.
        groups: optimiser parameter groups; `lr_scale` multiplies the learning rate.
        frames: map-style data set whose items are asked for as (epoch, index).
        save_model: writes the usable model file; called with the learner (its averaged copy when EMA is on), its
            scores and the number of epochs that it has learned for.
        validate: scores by name, the first of which decides; None = the last state is the model.
        validate_every: epochs between two validations.
        validate_start: score the model before its first step as well: training may not leave it worse than it was.
        patience: validations without a gain after which the run ends.
        whole_batches: a batch is not computed in parts, because its frames are compared with one another.
        before_epoch: called with the 0-based epoch before its first step.
        before_step: called with the moment and the optimiser when the gradients are there.
        after_step: called with the moment after the optimiser's step, before a state is saved.
        notes: further fields for each step event (the guidance strength, say), given the 0-based epoch.
    """

    name: str
    learner: L
    groups: list[dict[str, Any]]
    frames: Dataset[Batch]
    save_model: Callable[[L, dict[str, float], int], None]
    validate: Callable[[L], dict[str, float]] | None = None
    validate_every: int = 1
    validate_start: bool = False
    patience: int | None = None
    whole_batches: bool = False
    before_epoch: Callable[[int], None] = lambda epoch: None
    before_step: Callable[[Moment, torch.optim.Optimizer], None] = lambda moment, optimiser: None
    after_step: Callable[[Moment], None] = lambda moment: None
    notes: Callable[[int], dict[str, float]] = lambda epoch: {}

"""What a checkpoint of a run holds, `state.pt`: with it a run goes on as if it had never been interrupted."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import torch
from timm.utils import ModelEmaV3
from torch import nn

from vasomim_core.errors import RunError
from vasomim_core.files import atomic


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: optimiser steps taken.
        best: the best score so far; −inf = nothing was validated yet.
        stale: validations since then.
        totals: losses by name, added up since they were last reported.
        counted: steps that they are added up over.
    """

    step: int = 0
    best: float = -math.inf
    stale: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    counted: int = 0


@dataclass
class TrainingState:
    """All that changes while a run trains; nothing random is in it, see `seeding`.

    Attributes:
        learner: what learns.
        optimiser: its optimiser.
        ema: the moving average of its weights; None = off.
        progress: how far it is.
    """

    learner: nn.Module
    optimiser: torch.optim.Optimizer
    ema: ModelEmaV3 | None
    progress: Progress = field(default_factory=Progress)

    def save(self, path: Path) -> None:
        """Write the checkpoint; an older one is replaced when it is complete."""
        with atomic(path) as temporary:
            torch.save(
                {
                    "learner": self.learner.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "ema": self.ema.module.state_dict() if self.ema else None,
                    "state": vars(self.progress),
                },
                temporary,
            )

    def load(self, path: Path) -> None:
        """Take up a checkpoint; nothing happens where there is none.

        Raises:
            RunError: it is that of another network or other settings, or damaged.
        """
        if not path.is_file():
            return
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            self.learner.load_state_dict(saved["learner"])
            self.optimiser.load_state_dict(saved["optimiser"])
            if self.ema:
                self.ema.module.load_state_dict(saved["ema"])
            self.progress = Progress(**saved["state"])
        except (RuntimeError, ValueError, KeyError, TypeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise RunError(f"{path} does not fit the settings in its run folder; start a new run ({error})") from error

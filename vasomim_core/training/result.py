"""How a run ended, as whoever called it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vasomim_core.training.events import read_events

Reason = Literal["finished", "stopped", "patience"]


@dataclass(frozen=True)
class TrainingResult:
    """What `finetune`, `pretrain` and `train_segmentor` return.

        result = finetune(FinetuneConfig(labels=Path("labels"), run=Path("run")))
        model = load_model(result.model)

    Attributes:
        run: the run folder, with the settings (config.yaml) and the losses (events.jsonl).
        model: the model file, for `load_model`, or as `init` of another run. It exists, but for one case: pretraining
            that was stopped while it still trained its segmentor.
        reason: "finished"; "patience" = its scores did not rise any more; "stopped" = somebody asked for it, and
            `resume=True` goes on.
        epochs: that it has learned for, those before it was resumed included.
        scores: of this model on the validation frames, in percent: "dsc", "cldice"; empty = nothing was validated.
        best_epoch: after which it had these scores; 0 = no epoch was better than the model it started from; None =
            nothing was validated, and the model is that of the last epoch.
    """

    run: Path
    model: Path
    reason: Reason
    epochs: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    best_epoch: int | None = None


def best_validation(run: Path) -> tuple[int, dict[str, float]] | None:
    """Epoch and scores of the validation that decided which model is kept; None = there was none."""
    validations = [event for event in read_events(run) if event["event"] == "validation"]
    best = max(validations, key=lambda event: next(iter(event["scores"].values())), default=None)
    return None if best is None else (best["epoch"], best["scores"])

"""Run folders as finished runs leave them, without any training."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from vasomim_core.config import Config, FinetuneConfig, Training, card_settings
from vasomim_core.files import write_json
from vasomim_core.models.catalogue import FORMAT, Card
from vasomim_core.training.events import EventLog
from vasomim_core.training.run_data import RunData
from vasomim_core.training.runs import DATA, MODEL, save_config


def finetuned(run: Path, dsc: tuple[float, ...] = (60.0, 71.0), data: dict[str, Any] | None = None, **changes: Any):
    """A finetuning run of as many epochs as it has scores; the first is that of the model it started from."""
    given = {"labels": run.parent / "labels-a", "training": Training(epochs=len(dsc) - 1), **changes}
    config = FinetuneConfig(run=run, **given)
    facts = data or {"frames": 12, "sha256": "a", "validation_frames": 4, "validation_sha256": "b"}
    return made(run, config, facts, dsc)


def made(run: Path, config: Config, facts: dict[str, Any], dsc: tuple[float, ...] = ()) -> Path:
    run.mkdir(parents=True)
    save_config(run / "config.yaml", config)
    write_json(run / DATA, asdict(RunData({f"labels/{n}": {} for n in range(16)}, {}, facts, [])))
    log = EventLog(run)
    log.write("open", job="finetune", pid=2**22 + 1)  # no process has this number
    log.write("start", steps=10 * len(dsc), epochs=len(dsc), resumed=0, device="cpu")
    for epoch, score in enumerate(dsc):
        if epoch:
            for step in range(10):
                log.write("step", step=10 * epoch - 10 + step, epoch=epoch, loss=1 / epoch)
        log.write("validation", step=10 * epoch, epoch=epoch, scores={"dsc": score}, best=max(dsc), improved=True)
    log.write("end", reason="finished", message="")
    write_model(run / MODEL, config, facts, max(dsc, default=0.0))
    return run


def write_model(path: Path, config: Config, facts: dict[str, Any], dsc: float = 0.0) -> None:
    scores = {"validation": {"dsc": dsc}}
    card = asdict(Card("segmentation model", "unext", config=card_settings(config), data=facts, scores=scores))
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"vasomim": json.dumps({"format": FORMAT, **card})}
    save_file({"x": np.zeros(1, np.float32)}, path, metadata=header)

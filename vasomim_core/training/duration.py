"""How long a run takes, before it starts; torch is not loaded here."""

from __future__ import annotations

import math

from vasomim_core.config import FinetuneConfig, PretrainConfig, Pretraining
from vasomim_core.labels.splitting import validation_count
from vasomim_core.models.catalogue import known_card
from vasomim_core.training.costs import COSTS, ENCODER, METHOD, PREPARE, PRETRAINING, START, area, encoder_work


def estimate(config: FinetuneConfig | Pretraining, frames: int, cores: int = 2) -> float | None:
    """About how many seconds a run takes on the CPU: within a factor of two on an idle machine like the measured one.

    Args:
        config: the settings; early stopping is not foreseen.
        frames: labelled frames (finetuning, validation part included) or unlabelled ones (pretraining).
        cores: of this machine; what was measured on 2 is taken to shrink with the cores, up to 8.

    Returns:
        Seconds; None on CUDA, where nothing was measured.
    """
    if config.training.device.startswith("cuda"):
        return None
    t, speed = config.training, min(max(cores, 1), 8) / 2
    if isinstance(config, Pretraining):
        each = PRETRAINING * METHOD.get(config.method, 1.0) * area(config.input_size, 224) * ENCODER[config.encoder]
        work = _steps(frames, t.batch_size, t.epochs) * t.batch_size * each
        if isinstance(config, PretrainConfig) and config.segmentor is None and config.consistency > 0:
            segmentor = COSTS["unext"].step * area(config.input_size, 256)
            work += _steps(frames, t.batch_size, config.segmentor_epochs) * t.batch_size * segmentor
        return START + (PREPARE * frames + work) / speed
    card = known_card(config.init)
    architecture = card.architecture if card and not card.pretrained else config.architecture
    encoder = card.options.get("encoder", config.encoder) if card else config.encoder
    factor = encoder_work(architecture, encoder)
    used = math.ceil(frames * config.fraction)
    validated = used if config.val is not None else validation_count(used)
    learned = used if config.val is not None else max(1, used - validated)
    each = COSTS[architecture].step * area(config.input_size, 256) * factor
    views = 2 if card and card.preprocessing.mirrored else 1
    validation = COSTS[architecture].validation * area(config.frame_size, 512) * factor * validated * views
    work = _steps(learned, t.batch_size, t.epochs) * t.batch_size * each
    work += math.ceil(t.epochs / config.validate_every) * validation
    return START + (PREPARE * used + work) / speed


def _steps(frames: int, batch: int, epochs: int) -> int:
    return max(1, frames // batch) * epochs

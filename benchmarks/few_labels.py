"""How much a few labels teach a model about frames unlike those it knows, and how long that takes on this machine.

For each domain and number of labelled frames the quick preset, as the Finetune panel sets it, is run from each model;
40 other frames of the domain are scored before and after.

    python benchmarks/few_labels.py --output few/ [--data arcade/syntax/val] [--models vasomim-fast vasomim-encoder]
        [--labels 5 10 20]

Domains: `synthetic`, drawn coronary angiograms; `fundus-like`, the same trees bright on a dark round field with a
gradient of light, which no model here has seen; `data`, a folder of labelled frames.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.evaluation.metrics import mean_overlap
from vasomim_core.files import write_png
from vasomim_core.labels.labelled import open_labels
from vasomim_core.models.registry import load_model
from vasomim_core.synthetic import synthesize
from vasomim_core.training.events import read_events
from vasomim_core.training.finetune import finetune
from vasomim_core.training.presets import apply_preset, finetune_preset

Labelled = tuple[NDArray[np.uint8], NDArray[np.bool_]]
SCORED = 40
SIDE = 512


def synthetic(count: int) -> Iterator[Labelled]:
    """Drawn angiograms that no packaged model has seen."""
    for k in range(count):
        drawn = synthesize([31, k], size=SIDE)
        yield drawn.frame, drawn.mask


def fundus_like(count: int) -> Iterator[Labelled]:
    """Bright vessels on a dark round field, lit from one side, a little noisier."""
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    field = np.hypot(rows, columns) < 0.96
    for k in range(count):
        rng = np.random.default_rng([32, k])
        drawn = synthesize([32, k], size=SIDE)
        bright = cv2.GaussianBlur(255.0 - drawn.frame, (0, 0), 0.8)
        angle = rng.uniform(0, 2 * np.pi)
        light = 0.6 + 0.3 * (np.cos(angle) * rows + np.sin(angle) * columns)
        frame = np.where(field, bright * light + rng.normal(0, 5, bright.shape), 0)
        yield np.clip(frame, 0, 255).astype(np.uint8), drawn.mask & field


def folder(path: Path, count: int) -> Iterator[Labelled]:
    """Frames at equal distances through a folder."""
    labels = open_labels(path)
    for one in labels[:: max(1, len(labels) // count)][:count]:
        yield one.frame(), one.mask()


def score(model: str, frames: list[Labelled]) -> str:
    """Mean DSC and clDice in percent; an encoder has none yet."""
    loaded = load_model(model)
    if loaded.card.kind == "autoencoder":
        return "–"
    threshold = loaded.card.preprocessing.threshold
    overlap, line = mean_overlap((loaded.predict(frame) >= threshold, truth) for frame, truth in frames)
    return f"{overlap:.1f} / {line:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="new folder for labels and runs")
    parser.add_argument("--data", type=Path, help="labelled frames of a domain of your own")
    parser.add_argument("--domains", nargs="*", default=["synthetic", "fundus-like"])
    parser.add_argument("--models", nargs="+", default=["vasomim-fast"])
    parser.add_argument("--labels", nargs="+", type=int, default=[5, 10, 20])
    parser.add_argument("--scored", type=int, default=SCORED, help="other frames of a domain that are scored")
    parser.add_argument("--epochs", type=int, help="epochs of each run; none = the preset's")
    parser.add_argument("--rates", nargs="+", type=float, help="learning rates to compare; none = the preset's")
    options = parser.parse_args()
    print("| domain | start | labels | learning rate | DSC / clDice before | after | best epoch | minutes |")
    print("|---|---|---|---|---|---|---|---|")
    most = max(options.labels)
    for domain in [*options.domains, *(["data"] if options.data else [])]:
        count = most + options.scored
        makers = {"synthetic": synthetic, "fundus-like": fundus_like}
        frames = list(folder(options.data, count) if domain == "data" else makers[domain](count))
        scored = frames[most:]
        for labels in options.labels:
            taught = options.output / domain / f"labels-{labels}"
            for k, (frame, mask) in enumerate(frames[:labels]):
                for part, image in (("images", frame), ("masks", mask.astype(np.uint8) * 255)):
                    write_png(taught / part / f"{k}.png", image)
            for model in options.models:
                before = score(model, scored)
                preset = finetune_preset("quick", labels, memory=8 << 30, cuda=False, init=model)
                for rate in options.rates or [preset["training"]["learning_rate"]]:
                    run = options.output / domain / f"{model}-{labels}-{rate:g}"
                    config = apply_preset(FinetuneConfig(labels=taught, run=run, init=model), preset)
                    epochs = options.epochs or config.training.epochs
                    training: Training = replace(config.training, learning_rate=rate, epochs=epochs)
                    config = replace(config, validate_every=min(config.validate_every, epochs))
                    began = time.perf_counter()
                    finetune(replace(config, training=training))
                    minutes = (time.perf_counter() - began) / 60
                    after = score(str(run), scored)
                    best = max(
                        (e for e in read_events(run) if e["event"] == "validation"), key=lambda e: e["scores"]["dsc"]
                    )
                    print(
                        f"| {domain} | {model} | {labels} | {rate:g} | {before} "
                        f"| {after} | {best['epoch']} of {training.epochs} | {minutes:.1f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()

"""What pretraining is worth with few labels: U-Net and ViT from scratch, MAE and VasoMIM, over several seeds.

    python benchmarks/compare_pretraining.py --data arcade/syntax --runs runs/compare

`--data` holds ARCADE's `train` and `val`. Pretraining sees the frames of `train` without labels. Finetuning takes a
tenth of the labels of `train` (another tenth for each seed), chooses its epoch on a tenth of those, and is scored once
on `val`, which nothing was chosen on. Runs that are finished are not repeated, so the command can be given again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

from vasomim_core.config import FinetuneConfig, PretrainConfig, Training
from vasomim_core.labels.labelled import open_labels
from vasomim_core.models.registry import load_model
from vasomim_core.training.events import read_events
from vasomim_core.training.finetune import finetune, score_network
from vasomim_core.training.pretrain import pretrain
from vasomim_core.training.result import TrainingResult
from vasomim_core.training.runs import MODEL, is_finished

ARMS = ("vasomim", "mae", "scratch", "unet")  # the last two start from random weights


@dataclass(frozen=True)
class Budget:
    """Everything that the arms have in common."""

    pretraining_epochs: int
    finetuning_epochs: int
    seeds: int
    fraction: float


def pretrained(arm: str, data: Path, runs: Path, budget: Budget) -> Path | None:
    """The encoder of an arm; None for training from scratch."""
    if arm in ("scratch", "unet"):
        return None
    config = PretrainConfig(
        data=data / "train" / "images",
        run=runs / arm,
        encoder="tiny",
        input_size=128,
        decoder_width=192,
        decoder_depth=2,
        decoder_heads=6,
        training=Training(
            epochs=budget.pretraining_epochs, batch_size=32, learning_rate=5e-4, warmup=0.05, save_every=100
        ),
    )
    if arm == "mae":
        config = replace(config, sampler="uniform", consistency=0.0, mask_ratio=0.75)
    else:
        config = replace(config, segmentor_epochs=min(20, budget.pretraining_epochs))
    if not is_finished(config.run):
        leave_if_stopped(pretrain(config, resume=(config.run / "config.yaml").is_file()))
    return config.run / MODEL


def finetuned(arm: str, encoder: Path | None, seed: int, data: Path, runs: Path, budget: Budget) -> Path:
    """One finetuning run of an arm."""
    config = FinetuneConfig(
        labels=data / "train",
        run=runs / f"{arm}-seed{seed}",
        init=None if encoder is None else str(encoder),
        architecture="unet" if arm == "unet" else "vit",
        encoder="tiny",
        width=8,
        fraction=budget.fraction,
        frame_size=256,
        input_size=256,
        validate_every=min(4, budget.finetuning_epochs),
        training=Training(
            epochs=budget.finetuning_epochs,
            batch_size=8,
            learning_rate=4e-3,
            betas=(0.9, 0.999),
            clip=1.0,
            seed=seed,
        ),
    )
    if not is_finished(config.run):
        leave_if_stopped(finetune(config, resume=(config.run / "config.yaml").is_file()))
    return config.run


def leave_if_stopped(result: TrainingResult) -> None:
    """A run that was asked to stop ends the comparison too; the same command goes on with it."""
    if result.reason == "stopped":
        raise SystemExit("stopped; give the same command to go on")


def minutes(run: Path) -> float:
    """From the first to the last event of a run."""
    times = [event["time"] for event in read_events(run)]
    return (times[-1] - times[0]) / 60


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--runs", type=Path, required=True)
    options.add_argument("--pretraining-epochs", type=int, default=60)
    options.add_argument("--finetuning-epochs", type=int, default=14)
    options.add_argument("--seeds", type=int, default=3, help="at least two: their spread is told")
    options.add_argument("--fraction", type=float, default=0.1)
    options.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    given = options.parse_args()
    budget = Budget(given.pretraining_epochs, given.finetuning_epochs, given.seeds, given.fraction)
    began = time.perf_counter()
    validation = open_labels(given.data / "val")
    print("| start | DSC | clDice | each seed's DSC | pretraining, min | finetuning, min |\n|---|---|---|---|---|---|")
    for arm in given.arms:
        encoder = pretrained(arm, given.data, given.runs, budget)
        scores, spent = [], []
        for seed in range(budget.seeds):
            run = finetuned(arm, encoder, seed, given.data, given.runs, budget)
            model = load_model(run)
            pairs = ((one.frame(), one.mask()) for one in validation)
            scores.append(score_network(model.network, model.card.preprocessing, pairs))
            spent.append(minutes(run))
        cells = [
            f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
            for values in ([s["dsc"] for s in scores], [s["cldice"] for s in scores])
        ]
        each = " ".join(f"{s['dsc']:.2f}" for s in scores)
        before = f"{minutes(given.runs / arm):.0f}" if encoder else "–"
        print(f"| {arm} | {cells[0]} | {cells[1]} | {each} | {before} | {statistics.mean(spent):.1f} |", flush=True)
    print(f"\n{len(validation)} frames of val; {(time.perf_counter() - began) / 60:.0f} minutes in all")


if __name__ == "__main__":
    main()

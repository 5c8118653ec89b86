"""What more labels and more epochs would give: the first stage of a recipe on fewer frames, and all stages over time.

    python benchmarks/learning_curve.py --stages runs/fast-model/1 runs/fast-model/2 --runs curve/ --picture curve.png

`--stages` are finished finetuning runs, each of which started from the one before and chose its epoch on the same
frames. The first one is repeated on shares of its frames for as many steps as it took itself, so that only the labels
differ. Runs that are finished are not repeated, so the command can be given again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.errors import ConfigError
from vasomim_core.labels.labelled import open_labels
from vasomim_core.training.events import read_events
from vasomim_core.training.finetune import finetune
from vasomim_core.training.runs import is_finished, load_config


def settings(run: Path) -> FinetuneConfig:
    """Those of a finetuning run."""
    config = load_config(run)
    if not isinstance(config, FinetuneConfig) or config.val is None:
        raise ConfigError(f"{run} is no finetuning run with frames of its own to validate on; give another one")
    return config


def on_a_share(whole: FinetuneConfig, share: float, run: Path) -> Path:
    """The same run on a share of the frames, at the same number of steps and validations."""
    training: Training = replace(whole.training, epochs=round(whole.training.epochs / share))
    config = replace(
        whole, run=run, fraction=share, validate_every=round(whole.validate_every / share), training=training
    )
    if not is_finished(run) and finetune(config, resume=(run / "config.yaml").is_file()).reason == "stopped":
        raise SystemExit("stopped; give the same command to go on")
    return run


def validations(run: Path) -> list[tuple[int, dict[str, float]]]:
    """Epoch and scores of each validation, the one before the first step left out."""
    return [(e["epoch"], e["scores"]) for e in read_events(run) if e["event"] == "validation" and e["epoch"]]


def best(run: Path) -> dict[str, float]:
    """The scores of the epoch that the run's model is of."""
    return max((scores for _, scores in validations(run)), key=lambda scores: scores["dsc"])


def picture(path: Path, sizes: list[int], reached: list[float], stages: list[Path]) -> None:
    """DSC over labelled frames, and over the epochs of all stages."""
    figure = Figure(figsize=(8, 3.4), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    labels, time = figure.subplots(1, 2, sharey=True)
    labels.semilogx(sizes, reached, "o-", base=2)
    labels.set_xticks(sizes, [str(size) for size in sizes])
    labels.minorticks_off()
    labels.set_xlabel("labelled frames (first stage, as many steps for each)")
    labels.set_ylabel("DSC on val, %")
    passed = 0
    for run in stages:
        config, points = settings(run), validations(run)
        name = f"frames of {config.frame_size} px"
        time.plot([passed + epoch for epoch, _ in points], [scores["dsc"] for _, scores in points], ".-", label=name)
        passed += points[-1][0]
    time.set_xlabel("epochs")
    time.legend(loc="lower right", frameon=False)
    for axis in (labels, time):
        axis.grid(alpha=0.3)
    figure.savefig(path)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--stages", type=Path, nargs="+", required=True)
    options.add_argument("--runs", type=Path, required=True)
    options.add_argument("--shares", type=float, nargs="+", default=[0.125, 0.25, 0.5])
    options.add_argument("--picture", type=Path)
    given = options.parse_args()
    whole = settings(given.stages[0])
    frames = len(open_labels(whole.labels))
    print("| labelled frames | DSC | clDice |\n|---|---|---|")
    sizes, reached = [], []
    for share in sorted({*given.shares, 1.0}):
        run = given.stages[0] if share == 1 else on_a_share(whole, share, given.runs / f"{share:g}")
        scores = best(run)
        sizes.append(round(share * frames))
        reached.append(scores["dsc"])
        print(f"| {sizes[-1]} | {scores['dsc']:.2f} | {scores['cldice']:.2f} |", flush=True)
    if given.picture:
        picture(given.picture, sizes, reached, given.stages)


if __name__ == "__main__":
    main()

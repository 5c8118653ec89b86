"""The command that compares pretraining methods."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vasomim_core.cli.common import Options, frames_bar
from vasomim_core.comparing.settings import FILE, Ablation, Comparison, Task, load_settings
from vasomim_core.config import Device, EncoderSize


@dataclass(frozen=True, kw_only=True)
class Compare(Options):
    """Compare pretraining methods on your frames: one protocol, one table, with its uncertainty.

    Stopped or killed, the same command goes on where it was; several machines may work in one folder.

    Attributes:
        out: folder for everything: runs, scores, `report.md`. `--out` alone goes on with what stands there.
        data: data sets, each a folder with `train` and `val` (and `test`, which is then reported on, and `val` chosen
            on), or labelled frames without such parts, a quarter of which is then kept for the report.
        unlabelled: folders of angiograms to pretrain on; none = the frames that are learned from, without their labels.
        methods: rows of the table; none = all twelve: frangi, unet, mocov3, dino, mae, simmim, amt, deblurring,
            crossmae, hpm, chexworld, vasomim; besides, vit is the network that the methods pretrain, from scratch.
        seeds: finetuning runs of each row, each on labels of its own.
        fraction: share of the labels that is learned from.
        minutes: of pretraining for each method, 25 where neither is given.
        epochs: of pretraining for each method, in the place of minutes.
        finetuning_epochs: of each finetuning run.
        task: what the labels are: vessels, or stenoses.
        ablation: variants of VasoMIM to compare besides: its components, its schedule.
        clustering: also tell how well the tokens of each encoder part vessel from background.
        encoder: size of the ViT.
        input_size: side of the pretraining crops in px; finetuning takes frames and crops of twice that.
        batch_size: frames of a pretraining step.
        device: auto, cpu or cuda.
    """

    out: Path
    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER ...")] = ()
    unlabelled: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER ...")] = ()
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ROW ...")] = ()
    seeds: int = 3
    fraction: float = 0.1
    minutes: float | None = None
    epochs: int | None = None
    finetuning_epochs: int = 14
    task: Task = "vessel"
    ablation: tuple[Ablation, ...] = ()
    clustering: bool = False
    encoder: EncoderSize = "tiny"
    input_size: int = 128
    batch_size: int = 32
    device: Device = "auto"

    @classmethod
    def default(cls, arguments: list[str]) -> Compare | None:
        """The settings of the comparison in `--out` as the defaults of all options; None where none was begun."""
        scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        scan.add_argument("--out", type=Path)
        out = scan.parse_known_args(arguments)[0].out
        if out is None or not (out / FILE).is_file():
            return None
        return cls(out=out, **vars(load_settings(out)))

    def run(self) -> dict[str, Any]:
        """Do what is missing, and write the report."""
        from tqdm import tqdm

        from vasomim_core.comparing.report import write_report
        from vasomim_core.comparing.work import Work

        given = {name: getattr(self, name) for name in Comparison.__dataclass_fields__}
        if self.minutes is None and self.epochs is None:
            given["minutes"] = 25.0
        with frames_bar() as progress:
            work = Work(self.out, Comparison(**given), lambda name: tqdm.write(name), progress)
            outcome = work.run()
        return {
            "report": str(write_report(work, outcome)),
            "rows": [row.name for row in work.rows],
            "stopped": outcome.stopped,
            "failed": [f"{name}: {why}" for name, why in outcome.failures.items()],
        }

    def summary(self, result: dict[str, Any]) -> str:
        """Where the report is, and what could not be done."""
        lines = [*(f"failed: {sentence}" for sentence in result["failed"])]
        if result["stopped"]:
            lines.append("stopped; give the same command to go on")
        return "\n".join([*lines, result["report"]])

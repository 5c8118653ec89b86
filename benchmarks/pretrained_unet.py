"""Whether VasoMIM makes a convolutional network better that knows photographs: the method on the shipped U-Net.

    python benchmarks/pretrained_unet.py --output unet/ --labels arcade/syntax/train --report arcade/syntax/val
        --imagenet efficientnet_lite0.pth [--unlabelled DIR …] [--fractions 0.1 1] [--seeds 3]

Masked patches of the input are replaced by one learned colour, the U-Net draws the whole frame, and the segmentor S
must see the same vessels in it; masks, losses and schedule are VasoMIM's own. Then the U-Net learns from labels twice,
from ImageNet's encoder and from what the pretraining left of it (its decoder too), by the first stage of the recipe of
the packaged models, for as many steps whatever the share of the labels. A tenth of the labelled frames chooses the
epoch, other frames are reported on. What is finished in `--output` is not done again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vasomim_core.comparing.scoring import by_model, read_scores, write_scores
from vasomim_core.comparing.statistics import mean_and_spread, paired_difference
from vasomim_core.config import FinetuneConfig, PretrainConfig, Training
from vasomim_core.labels.labelled import open_labels
from vasomim_core.methods.method import Method
from vasomim_core.methods.settings import METHODS, Entry
from vasomim_core.methods.vasomim import GuidedMAE
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.checkpoint import read_state, save_checkpoint
from vasomim_core.models.effunet import load_efficientnet
from vasomim_core.models.objectives import patchify
from vasomim_core.models.registry import build
from vasomim_core.models.vasomim import VasoMIM
from vasomim_core.training.finetune import finetune
from vasomim_core.training.pretrain import pretrain
from vasomim_core.training.runs import MODEL, is_finished

METHOD = "vasomim-unet"
ARMS = {"imagenet": "ImageNet alone", "vasomim": "ImageNet, then VasoMIM"}
WIDTH = 24
HEAD = "head."


@dataclass(frozen=True)
class UNetConfig(PretrainConfig):
    """VasoMIM on a U-Net: masked patches of the input are replaced by a learned colour.

    Attributes:
        architecture: which U-Net.
        imagenet: file with the encoder's weights from photographs; None = random ones.
    """

    method: ClassVar[str] = METHOD

    architecture: str = "effunet-small"
    imagenet: Path | None = None
    training: Training = field(default_factory=lambda: Training(epochs=20, batch_size=16, learning_rate=1e-3))


class MaskedUNet(nn.Module):
    """What VasoMIM asks of an autoencoder, by a U-Net with three outputs in the place of classes."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.patch_size = config.patch_size
        self.patch_embed = argparse.Namespace(num_patches=(config.input_size // config.patch_size) ** 2)
        # Outputs belong to a background and two classes elsewhere; here they are the three colours.
        self.network: Any = build(config.architecture, {"width": WIDTH, "outputs": 3})
        if config.imagenet:
            load_efficientnet(self.network.encoder, read_state(config.imagenet), str(config.imagenet))
        self.colour = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, images: Tensor, mask: Tensor, count: int) -> Tensor:
        """The drawing by patches, (B, N, P·P·3)."""
        side = images.shape[-1] // self.patch_size
        hidden = mask.view(-1, 1, side, side)
        for axis in (2, 3):
            hidden = hidden.repeat_interleave(self.patch_size, axis)
        return patchify(self.network(torch.where(hidden, self.colour.to(images.dtype), images)), self.patch_size)


class GuidedUNet(GuidedMAE):
    """VasoMIM's masks, losses and schedule around a U-Net."""

    config: UNetConfig

    def __init__(self, config: UNetConfig):
        Method.__init__(self, config)  # without a ViT
        drawer: Any = MaskedUNet(config)
        self.model = VasoMIM(drawer, None, config.mask_ratio, config.sampler, config.co_guidance, config.consistency)

    def kept(self) -> dict[str, Tensor]:
        """The U-Net, by its own names."""
        return dict(self.model.autoencoder.network.state_dict())  # type: ignore[operator, union-attr]

    def described(self) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        """Kept as an encoder: it finds no vessels yet."""
        return "encoder", "encoder", {"input_size": self.config.input_size, "patch_size": self.config.patch_size}, {}


METHODS[METHOD] = Entry(UNetConfig, f"{__name__}:GuidedUNet")


def pretrained(given: argparse.Namespace) -> Path:
    """A model to finetune from: all that VasoMIM left but the last layer, which is a new one for vessels."""
    run = given.output / "pretraining"
    if not is_finished(run):
        config = UNetConfig(
            given.unlabelled or given.labels / "images",
            run,
            input_size=given.input_size,
            architecture=given.architecture,
            imagenet=given.imagenet,
            segmentor_epochs=given.segmentor_epochs,
        )
        training = replace(config.training, epochs=given.pretraining_epochs, batch_size=given.batch_size)
        go_on(pretrain(replace(config, training=training), resume=(run / "config.yaml").is_file()).reason)
    path = given.output / "start.safetensors"
    if not path.is_file():
        torch.manual_seed(0)
        options = {"width": WIDTH}
        network = build(given.architecture, options)
        own, left = network.state_dict(), read_state(run / MODEL)
        own |= {name: value for name, value in left.items() if not name.startswith(HEAD)}
        card = Card("segmentation model", given.architecture, options, Preprocessing(frame_size=given.frame_size))
        save_checkpoint(path, own, replace(card, description="pretrained by VasoMIM, not finetuned yet"))
    return path


def finetuned(given: argparse.Namespace, arm: str, start: Path | None, fraction: float, seed: int) -> Path:
    """The run that learned from a share of the labels."""
    run: Path = given.output / "finetuning" / arm / f"{fraction:g}" / f"seed-{seed}"
    if is_finished(run):
        return run
    epochs = max(1, round(given.epochs / fraction))
    config = FinetuneConfig(
        given.labels,
        run,
        init=str(start) if start else None,
        architecture=given.architecture,
        width=WIDTH,
        fraction=fraction,
        frame_size=given.frame_size,
        input_size=given.input_size,
        validate_every=max(1, epochs // 4),
        training=Training(
            epochs=epochs,
            batch_size=8,
            learning_rate=1e-3,
            warmup=0.05,
            betas=(0.9, 0.999),
            clip=1.0,
            ema=0.99,
            seed=seed,
        ),
    )
    go_on(finetune(config, resume=(run / "config.yaml").is_file()).reason)
    return run


def go_on(reason: str) -> None:
    """Leave where a run was stopped."""
    if reason == "stopped":
        raise SystemExit("stopped; give the same command to go on")


def scores(given: argparse.Namespace, run: Path) -> tuple[list[float], list[float], list[int]]:
    """DSC and clDice of each frame that is reported on, and its group."""
    folder = run / "scores"
    if not (folder / "scores.csv").is_file():
        write_scores(folder, open_labels(given.report), by_model(run / MODEL, "auto"))
    found = read_scores(folder)
    return [one.dsc for one in found], [one.cldice for one in found], [one.group for one in found]


def rows(given: argparse.Namespace) -> Iterator[str]:
    """The table, line by line."""
    yield "| labels | start | DSC | clDice |"
    yield "|---|---|---|---|"
    told = []
    for fraction in given.fractions:
        each = {}
        for arm, title in ARMS.items():
            start = given.imagenet if arm == "imagenet" else pretrained(given)
            runs = [finetuned(given, arm, start, fraction, seed) for seed in range(given.seeds)]
            dsc, cldice, groups = (np.array(part) for part in zip(*(scores(given, run) for run in runs), strict=True))
            each[arm] = dsc, cldice, groups[0]
            cells = [
                f"{mean:.2f}" + ("" if spread is None else f" ± {spread:.2f}")
                for mean, spread in map(mean_and_spread, (dsc, cldice))
            ]
            yield f"| {100 * fraction:g} % | {title} | {cells[0]} | {cells[1]} |"
        for k, name in enumerate(("DSC", "clDice")):
            d = paired_difference(each["vasomim"][k], each["imagenet"][k], each["imagenet"][2].tolist())
            told.append(f"{100 * fraction:g} %: {name} {d.mean:+.2f} ({d.low:+.2f} … {d.high:+.2f}), {d.verdict}")
    yield "\nVasoMIM less ImageNet alone, with intervals of 95 % (frames and seeds drawn again):\n"
    yield from (f"- {line}" for line in told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True, help="labelled frames to learn from")
    parser.add_argument("--report", type=Path, required=True, help="others that are reported on")
    parser.add_argument("--unlabelled", type=Path, help="angiograms to pretrain on; none = images/ of --labels")
    parser.add_argument("--imagenet", type=Path, help="an EfficientNet-Lite's weights; none = random ones")
    parser.add_argument("--architecture", choices=("effunet-small", "effunet"), default="effunet-small")
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.1, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frame-size", type=int, default=256)
    parser.add_argument("--input-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=16, help="of pretraining")
    parser.add_argument("--pretraining-epochs", type=int, default=20)
    parser.add_argument("--segmentor-epochs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8, help="over all labels; over fewer of them, as many steps")
    for line in rows(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()

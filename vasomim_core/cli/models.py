"""Commands about models: which there are, and making one ready to be given away."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vasomim_core.cli.common import Options


@dataclass(frozen=True, kw_only=True)
class Models(Options):
    """List the models that can be used by name, or give a finished run's model a name.

    Attributes:
        add: a run folder or model file to put among them first.
        name: its name; None = that of its folder. A taken name gets a number.
    """

    add: Path | None = None
    name: str | None = None

    def run(self) -> dict[str, Any]:
        """Register, then read the cards."""
        from vasomim_core.errors import VasoMIMError
        from vasomim_core.files import plain_name
        from vasomim_core.models.catalogue import find_model, model_name, read_card, register, survey

        if self.add is not None:
            path = find_model(self.add)
            read_card(path)
            register(path, plain_name(model_name(path), "model") if self.name is None else self.name)
        return {
            name: {"unusable": str(found)}
            if isinstance(found, VasoMIMError)
            else {**asdict(found), "megabytes": round(find_model(name).stat().st_size / 1e6, 1)}
            for name, found in survey().items()
        }

    def summary(self, result: dict[str, Any]) -> str:
        """The short form of each model's card."""
        if not result:
            return "no models yet; `vasomim finetune` makes one"
        lines = []
        for name, card in result.items():
            if "unusable" in card:
                lines += [f"{name}: cannot be used", f"    {card['unusable']}"]
                continue
            lines += [f"{name}: {card['kind']}, {card['megabytes']:g} MB", f"    {card['description']}"]
            lines += [f"    {part}{_in_words(s)}" for part, s in card["scores"].items() if isinstance(s, dict)]
        return "\n".join([*lines, "Research software: not for diagnosis."])


def _in_words(scores: dict[str, float]) -> str:
    named = {"dsc": "DSC", "cldice": "clDice", "ece": "calibration error"}
    values = [f"{words} {scores[key]:.2f} %" for key, words in named.items() if key in scores]
    frames = f" on {scores['frames']} frames" if "frames" in scores else ""
    return f"{frames}: {', '.join(values)}"


@dataclass(frozen=True, kw_only=True)
class Package(Options):
    """Make a trained model ready to be given away: calibrated, with its best threshold and scores, half precision.

    Attributes:
        model: a name that `vasomim models` lists, a model file, or a run folder.
        validation: labelled frames that it has not learned from, to calibrate and score a segmentation model on;
            None = it is a pretrained encoder.
        every: for a model that tells main branches from others: frames in which every vessel is labelled, to calibrate
            it on; `validation` then has main branches alone.
        output: `.safetensors` file to write.
        description: one line for people; None = that of the model.
        mirrored: average with the frame flipped left to right from now on, at twice the time.
        average: another model of the same network, such as the one that the training began with: each weight becomes
            the mean of both.
        frame_size: longer side in pixels to which frames are scaled from now on, such as a larger one for thinner
            vessels; None = as it was trained.
    """

    model: str
    validation: Path | None = None
    every: Path | None = None
    output: Path
    description: str | None = None
    mirrored: bool = False
    average: str | None = None
    frame_size: int | None = None

    def run(self) -> dict[str, Any]:
        """Calibrate, score, write."""
        from vasomim_core.errors import ConfigError
        from vasomim_core.labels.labelled import open_labels
        from vasomim_core.training.packaging import package, package_encoder

        if self.output.suffix != ".safetensors":
            raise ConfigError(f"--output is {self.output}; give a file name that ends in .safetensors")
        if self.validation is None:
            if self.average is not None:
                raise ConfigError("--average is for segmentation models: give --validation, too")
            package_encoder(self.model, self.output, self.description)
            return {"model": str(self.output)}
        frames = open_labels(self.validation)
        every = open_labels(self.every) if self.every is not None else []
        with tqdm(total=len(frames) + len(every), unit="frame", disable=None, leave=False) as bar:

            def progress(done: int) -> None:
                bar.update(done - bar.n)

            scores = package(
                self.model,
                frames,
                self.output,
                description=self.description,
                mirrored=self.mirrored,
                progress=progress,
                every=every,
                average=self.average,
                frame_size=self.frame_size,
            )
        return {"model": str(self.output), **scores}

    def summary(self, result: dict[str, Any]) -> str:
        """Scores, and what calibration has done."""
        r = result
        if "frames" not in r:
            return f"{r['model']}: the pretrained encoder"
        main = ""
        if "main" in r:
            m = r["main"]
            main = f"main branches: DSC {m['dsc']:.2f}, clDice {m['cldice']:.2f} on {m['frames']} frames (percent)\n"
        return (
            f"{r['model']}: DSC {r['dsc']:.2f}, clDice {r['cldice']:.2f} on {r['frames']} frames (percent)\n{main}"
            f"calibration error {r['ece_as_trained']:.2f} → {r['ece']:.2f} over all pixels, "
            f"{r['ece_near_as_trained']:.2f} → {r['ece_near']:.2f} near the vessels found (percent)"
        )

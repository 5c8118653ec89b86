"""Commands that turn frames into something: vesselness, anatomy, masks, scores, samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vasomim_core.cli.common import Batch, Options, passing_pages, write_masks, write_pages
from vasomim_core.config import Mode, Vessels
from vasomim_core.labels.mask import LEAST_VESSEL
from vasomim_core.models.catalogue import DEFAULT_MODEL
from vasomim_core.reading import Angiogram, GreyLevels
from vasomim_core.reading.levels import AS_IN_THE_FILE


@dataclass(frozen=True, kw_only=True)
class Vesselness(Batch):
    """Vesselness of every frame, as 32-bit TIFF.

    Attributes:
        filter: Frangi's (1998) or Sato's (1998) filter.
        sigmas: scales of the vessels in px.
        ridges: vessels darker or brighter than their surroundings.
    """

    filter: Literal["frangi", "sato"] = "sato"
    sigmas: tuple[float, ...] = (1, 2, 3, 4)
    ridges: Literal["dark", "bright"] = "dark"

    def run(self) -> dict[str, Any]:
        """Write `<stem>.tif` for each input."""
        from vasomim_core.anatomy import frangi, sato

        response = frangi if self.filter == "frangi" else sato

        def work(angiogram: Angiogram, target: Path) -> Path:
            return write_pages(target, (response(grey, self.sigmas, self.ridges) for grey in grey_frames(angiogram)))

        return self.each(work)

    def summary(self, result: dict[str, Any]) -> str:
        """What was done, and what could not be read."""
        return self.told(f"{self.filter} of {result['frames']} frames in {self.output}", result)


@dataclass(frozen=True, kw_only=True)
class Anatomy(Batch):
    """Vessel mask of every frame by the vesselness filter alone, without a model.

    Attributes:
        mode: the extraction as the method's authors released it, or the robust one.
    """

    mode: Mode = "robust"

    def run(self) -> dict[str, Any]:
        """Write `<stem>.png` (or a multi-page `<stem>.tif`) for each input."""
        from vasomim_core.anatomy import extract_anatomy

        def work(angiogram: Angiogram, target: Path) -> Path:
            masks = (extract_anatomy(grey, self.mode) for grey in grey_frames(angiogram))
            return write_masks(target, masks, len(angiogram.frames))

        return self.each(work)

    def summary(self, result: dict[str, Any]) -> str:
        """What was done, and what could not be read."""
        return self.told(f"anatomy ({self.mode}) of {result['frames']} frames in {self.output}", result)


@dataclass(frozen=True, kw_only=True)
class Segment(Batch):
    """Vessel mask of every frame by a model.

    Attributes:
        model: a name that `vasomim models` lists, a model file, or a run folder.
        vessels: every visible vessel, or the main branches alone, where the model tells them apart.
        threshold: probability from which a pixel is vessel; None = the model's own.
        mirrored: average with the frame flipped left to right (2× the time); some models always do.
        tile: side in px of overlapping tiles of the scaled frame, to bound memory; None = as the model was trained.
        inverted: vessels are bright in these images, as in a subtracted one or a fundus.
        probability: also write `<stem>_probability.tif`, 32-bit in [0, 1].
        device: auto, cpu or cuda.
    """

    model: str = DEFAULT_MODEL
    vessels: Vessels = "every"
    threshold: float | None = None
    mirrored: bool = False
    tile: int | None = None
    inverted: bool = False
    probability: bool = False
    device: str = "auto"

    def run(self) -> dict[str, Any]:
        """Write the masks."""
        from vasomim_core.errors import ConfigError
        from vasomim_core.models.registry import load_model

        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"--threshold is {self.threshold}; give a probability between 0 and 1")
        if self.tile is not None and self.tile < 1:
            raise ConfigError(f"--tile is {self.tile}; give a side in px of at least 1")
        model = load_model(self.model, self.device)
        if self.vessels == "main":
            model.need_main_branches()
        shares: list[float] = []

        def work(angiogram: Angiogram, target: Path) -> Path:
            found: list[float] = []

            def counted(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
                found.append(float(mask.mean()))
                return mask

            greys = grey_frames(angiogram, GreyLevels(bright_vessels=self.inverted))
            seen: Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]] = (
                model.vessels(model.predict_classes(grey, self.mirrored, self.tile), self.vessels, self.threshold)
                for grey in greys
            )
            if self.probability:
                seen = passing_pages(target.with_name(f"{target.name}_probability.tif"), seen, lambda pair: pair[0])
            written = write_masks(target, (counted(mask) for _, mask in seen), len(angiogram.frames))
            shares.extend(found)
            return written

        result = self.each(work)
        little = sum(share < LEAST_VESSEL for share in shares)
        by = {"model": model.name, "vessels": self.vessels, "device": str(model.device)}
        return {**result, "with_little_vessel": little, **by}

    def summary(self, result: dict[str, Any]) -> str:
        """What was done; and that it may have to be done otherwise, where little was found in most frames."""
        r = result
        what = "" if r["vessels"] == "every" else " (main branches)"
        done = f"{r['frames']} frames segmented{what} by {r['model']} on {r['device']}, masks in {self.output}"
        little = r["with_little_vessel"]
        if 2 * little > r["frames"] and not self.inverted:
            done += f"\nlittle was found in {little} of them: if vessels are bright there, add --inverted"
        return self.told(done, result)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Options):
    """Score masks against true masks: DSC, clDice, IoU, sensitivity, precision (in percent) and HD95 (in px).

    Attributes:
        prediction: folder of `<stem>.png` masks.
        truth: folder of true masks, or ARCADE's split folder or COCO file.
        per_frame: also list every frame.
    """

    prediction: Path
    truth: Path
    per_frame: bool = False

    def run(self) -> dict[str, Any]:
        """Score all frames of the truth."""
        from vasomim_core.evaluation.folders import evaluate

        with tqdm(unit="frame", disable=None, leave=False) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            evaluation = evaluate(self.prediction, self.truth, progress=progress)
        return evaluation.to_dict(rows=self.per_frame)

    def summary(self, result: dict[str, Any]) -> str:
        """The means, and a table of the frames when it is asked for."""
        from vasomim_core.evaluation.metrics import METRICS

        lines = [f"{'frame':<20}" + "".join(f"{c:>12}" for c in METRICS)]
        for row in result.get("rows", []):
            lines.append(f"{row['name']:<20}" + "".join(f"{row[c]:12.2f}" for c in METRICS))
        lines[:0] = [f"note: {note}" for note in result.get("notes", [])]
        lines.append(f"{'mean of ' + str(result['n']):<20}" + "".join(f"{result[c]:12.2f}" for c in METRICS))
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Sample(Options):
    """Draw synthetic coronary angiograms with their exact vessel masks.

    Attributes:
        output: folder for images/ and masks/.
        count: number of patients.
        frames: frames of each; more than one give a moving run, as multi-page TIFF.
        seed: other seeds give other patients; the same seed gives the same files.
        size: side of the frames in px.
        least_width: vessels thinner than this many px are drawn but not in the mask.
    """

    output: Path
    count: int = 10
    frames: int = 1
    seed: int = 0
    size: int = 512
    least_width: float = 2.0

    def run(self) -> dict[str, Any]:
        """Write the samples."""
        from vasomim_core.synthetic import write_cines, write_samples

        size, width = self.size, self.least_width
        if self.frames == 1:
            write_samples(self.output, self.count, self.seed, size=size, least_width=width)
        else:
            write_cines(self.output, self.count, self.seed, frames=self.frames, size=size, least_width=width)
        return {"output": str(self.output), "frames": self.count * self.frames}

    def summary(self, result: dict[str, Any]) -> str:
        """One line."""
        return f"{result['frames']} synthetic angiograms in {self.output}/images, their masks in {self.output}/masks"


def grey_frames(angiogram: Angiogram, levels: GreyLevels = AS_IN_THE_FILE) -> Iterator[NDArray[np.uint8]]:
    """The frames of an angiogram as the engine sees them, one at a time."""
    count = len(angiogram.frames)
    for index in tqdm(range(count), unit="frame", disable=True if count == 1 else None, leave=False):
        yield angiogram.grey(index, levels)

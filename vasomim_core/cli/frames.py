"""Commands that turn frames into something: vesselness, anatomy, masks, scores, samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vasomim_core.cli.common import Batch, Options, frames_bar, plain
from vasomim_core.config import Mode, Vessels
from vasomim_core.errors import ConfigError
from vasomim_core.files import write_masks, write_pages
from vasomim_core.models.catalogue import DEFAULT_MODEL


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

        def work(greys: Iterator[NDArray[np.uint8]], count: int, target: Path) -> Path:
            return write_pages(target, (response(grey, self.sigmas, self.ridges) for grey in greys))

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

        def work(greys: Iterator[NDArray[np.uint8]], count: int, target: Path) -> Path:
            return write_masks(target, (extract_anatomy(grey, self.mode) for grey in greys), count)

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
        steady: in a run, the frames before and after each have a say in its probability: less flicker.
        device: auto, cpu or cuda.
    """

    model: str = DEFAULT_MODEL
    vessels: Vessels = "every"
    threshold: float | None = None
    mirrored: bool = False
    tile: int | None = None
    inverted: bool = False
    probability: bool = False
    steady: bool = False
    device: str = "auto"

    def run(self) -> dict[str, Any]:
        """Write the masks."""
        from vasomim_core.inference.folders import segment_folder

        with frames_bar() as progress:
            done = segment_folder(
                self.inputs,
                self.output,
                self.model,
                vessels=self.vessels,
                threshold=self.threshold,
                mirrored=self.mirrored,
                tile=self.tile,
                inverted=self.inverted,
                probability=self.probability,
                steady=self.steady,
                suffix=self.suffix,
                strict=self.strict,
                device=self.device,
                progress=progress,
            )
        return plain(done)

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

        with frames_bar() as progress:
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
        frames: frames of each; more than one give a moving run, as multi-page TIFF, with a mask for each frame.
        frame_time: time from frame to frame of a run in ms.
        injection: how long contrast agent is injected into a run in ms; None = to its end.
        table: how far the table is moved within a run, in mm.
        seed: other seeds give other patients; the same seed gives the same files.
        size: side of the frames in px.
        least_width: vessels thinner than this many px are drawn but not in the mask.
    """

    output: Path
    count: int = 10
    frames: int = 1
    frame_time: float = 66.7
    injection: float | None = None
    table: float = 0.0
    seed: int = 0
    size: int = 512
    least_width: float = 2.0

    def run(self) -> dict[str, Any]:
        """Write the samples."""
        from vasomim_core.synthetic import write_cines, write_samples

        if self.frames == 1:
            if self.injection is not None or self.table:
                raise ConfigError("--injection and --table are of a run: give --frames more than 1")
            write_samples(self.output, self.count, self.seed, size=self.size, least_width=self.least_width)
        else:
            write_cines(
                self.output,
                self.count,
                self.seed,
                frames=self.frames,
                frame_time_ms=self.frame_time,
                injection_ms=self.injection,
                table=self.table,
                size=self.size,
                least_width=self.least_width,
            )
        return {"output": str(self.output), "frames": self.count * self.frames}

    def summary(self, result: dict[str, Any]) -> str:
        """One line."""
        return f"{result['frames']} synthetic angiograms in {self.output}/images, their masks in {self.output}/masks"

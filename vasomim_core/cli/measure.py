"""The command that measures a vessel between two points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from vasomim_core.cli.common import Options
from vasomim_core.errors import ConfigError
from vasomim_core.measures.reference import Reference
from vasomim_core.reading import GreyLevels, read_angiogram

Place = str
"""ROW,COLUMN in px."""


@dataclass(frozen=True, kw_only=True)
class Measure(Options):
    """Diameters, stenosis and lesion of a vessel between two points, from the grey levels.

    Attributes:
        image: an angiogram.
        start: ROW,COLUMN in px where the measure begins, on the vessel.
        end: ROW,COLUMN where it ends.
        via: ROW,COLUMN of points between, where another path than the clearest is meant.
        frame: which frame of a run, from 0; needed for a run.
        model: a model that helps to find the path (the walls never are its), by name, file or run folder.
        reference: interpolated between two markers, computed from all that is outside the lesion, or mean-local.
        markers: places of the two markers in px along the segment; None = at 5 % and 95 % of it.
        scale: mm per px, where it is known from elsewhere.
        catheter: size in French of a catheter in the frame, which gives the scale; with --catheter-at.
        catheter_at: two or more ROW,COLUMN along that catheter.
        name: what the measure is called.
        inverted: vessels are bright in this image.
        device: of the model: auto, cpu or cuda.
        csv: file for the numbers in one line.
        report: file for a page with frame, profile and numbers, .pdf or .png.
    """

    image: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FRAME")]
    start: Annotated[Place, tyro.conf.arg(name="from", metavar="ROW,COLUMN")]
    end: Annotated[Place, tyro.conf.arg(name="to", metavar="ROW,COLUMN")]
    via: Annotated[tuple[Place, ...], tyro.conf.arg(metavar="ROW,COLUMN ...")] = ()
    frame: int | None = None
    model: str | None = None
    reference: Reference = "interpolated"
    markers: tuple[float, float] | None = None
    scale: float | None = None
    catheter: float | None = None
    catheter_at: Annotated[tuple[Place, ...], tyro.conf.arg(metavar="ROW,COLUMN ...")] = ()
    name: str = ""
    inverted: bool = False
    device: str = "auto"
    csv: Path | None = None
    report: Path | None = None

    def run(self) -> dict[str, Any]:
        """Measure, and write what is asked for."""
        from vasomim_core.correction.cost import VesselCost
        from vasomim_core.measures import report, scale, table
        from vasomim_core.measures.measuring import Measure as Measured
        from vasomim_core.measures.segment import find_segment

        if self.scale is not None and self.catheter is not None:
            raise ConfigError("--scale and --catheter both give a scale: give one of them")
        if (self.catheter is None) != (not self.catheter_at):
            raise ConfigError("a catheter needs its size and its place: give both --catheter and --catheter-at")
        if self.report is not None and self.report.suffix.lower() not in report.SUFFIXES:
            raise ConfigError(f"--report is {self.report.name}: a report is a .pdf or a .png")
        clicks = [_point(text) for text in (self.start, *self.via, self.end)]
        along_catheter = [_point(text) for text in self.catheter_at]
        angiogram = read_angiogram(self.image)
        index = self._index(len(angiogram.frames))
        grey = angiogram.grey(index, GreyLevels(bright_vessels=self.inverted))
        cost = VesselCost(grey, self._probability(grey))
        found = of_file = scale.scale_of(angiogram.calibration)
        if self.scale is not None:
            found = scale.beside_the_file(scale.scale_by_hand(self.scale), of_file)
        elif self.catheter is not None:
            traced = scale.scale_from_catheter(VesselCost(grey), along_catheter, self.catheter)
            found = scale.beside_the_file(traced, of_file)
        measure = Measured.of(find_segment(cost, clicks), self.reference, found, self.name)
        if self.markers is not None:
            measure = measure.with_(markers=self.markers)
        written = []
        if self.csv is not None:
            table.save_csv(self.csv, [(index, measure)])
            written.append(str(self.csv))
        if self.report is not None:
            report.save_report(self.report, grey, measure, index)
            written.append(str(self.report))
        return {"frame": index, **measure.to_dict(), "written": written}

    def _index(self, count: int) -> int:
        if self.frame is None and count > 1:
            raise ConfigError(f"{self.image} has {count} frames: say which by --frame, from 0 to {count - 1}")
        index = self.frame or 0
        if not 0 <= index < count:
            raise ConfigError(f"--frame is {index}; give one from 0 to {count - 1}, the frames of {self.image}")
        return index

    def _probability(self, grey: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        if self.model is None:
            return None
        from vasomim_core.models.registry import load_model  # with torch

        return np.asarray(load_model(self.model, self.device).predict(grey))

    def summary(self, result: dict[str, Any]) -> str:
        """The numbers in px, and in mm where there is a scale, with its source."""
        r, scale = result, result["scale_mm_per_px"]

        def told(px: float | None) -> str:
            if px is None:
                return "none"
            return f"{px:.2f} px" if scale is None else f"{px * scale:.2f} mm ({px:.2f} px)"

        source = "pixels: no scale is known" if scale is None else f"{scale:.4f} mm per px from {r['scale_source']}"
        return "\n".join(
            [
                f"{'stenosis':<10} {r['ds_percent']:.1f} %",
                f"{'MLD':<10} {told(r['mld_px'])} at row {r['mld_at'][0]:.1f}, column {r['mld_at'][1]:.1f}",
                f"{'reference':<10} {told(r['reference_px'])} ({r['reference']})",
                f"{'lesion':<10} {told(r['lesion_px'])}",
                f"{'mean':<10} {told(r['mean_px'])} over {told(r['length_px'])}",
                f"{'scale':<10} {source}",
                *([f"{'note':<10} {r['scale_warning']}"] if r["scale_warning"] else []),
                *r["written"],
            ]
        )


def _point(text: Place) -> tuple[float, float]:
    """A place as it was typed.

    Raises:
        ConfigError: it is not two numbers.
    """
    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{text!r} is no point: give ROW,COLUMN in px, such as 120,240.5") from None
    return row, column

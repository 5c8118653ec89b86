"""The command that shows what guided masking does to one frame."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from vasomim_core.cli.common import Options
from vasomim_core.config import Mode
from vasomim_core.errors import ConfigError
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import find_model, read_card
from vasomim_core.reading import GreyLevels, read_angiogram, stem


@dataclass(frozen=True, kw_only=True)
class Mask(Options):
    """What guided masking hides of one frame: f, a mask, the masking ratio, and what a pretrained model draws.

    Attributes:
        frame: an angiogram.
        output: folder for `<stem>.npz` (every array), `<stem>.csv` (patches), `<stem>_curves.csv` (epochs) and
            `<stem>.png` (a figure).
        index: which frame of a run, from 0.
        epoch: whose mask is drawn, from 0; None = the last.
        anatomy: how vessels are found.
        model: a pretrained model that draws what is masked, by name, file or run folder; it gives input and patch size.
        guide: an encoder pretrained by AMT or HPM, whose masks are drawn in the place of the schedule's, by name, file
            or run folder; it gives input and patch size, and of the schedule epochs and seed count.
        inverted: vessels are bright in this image.
        device: auto, cpu or cuda.
        schedule: the settings.
    """

    frame: Annotated[Path, tyro.conf.Positional]
    output: Path
    index: int = 0
    epoch: int | None = None
    anatomy: Mode = "robust"
    model: str | None = None
    guide: str | None = None
    inverted: bool = False
    device: str = "auto"
    schedule: Annotated[MaskingSchedule, tyro.conf.arg(name="")] = field(default_factory=MaskingSchedule)

    @classmethod
    def default(cls, arguments: list[str]) -> Mask | None:
        """The sizes of `--model` or `--guide` as the defaults of the schedule; None without one."""
        scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        for name in ("--model", "--guide"):
            scan.add_argument(name)
        given, _ = scan.parse_known_args(arguments)
        sized = given.model or given.guide
        if sized is None:
            return None
        schedule = MaskingSchedule().for_model(read_card(find_model(sized)).options)
        return cls(frame=tyro.MISSING, output=tyro.MISSING, model=given.model, guide=given.guide, schedule=schedule)

    def run(self) -> dict[str, Any]:
        """Draw, and write the four files."""
        from vasomim_core.inference.frame_masking import mask_frame
        from vasomim_core.masking.figures import save_figure
        from vasomim_core.masking.results import save_csv, save_npz

        if self.output.resolve() == self.frame.resolve().parent:
            raise ConfigError(f"the results would lie beside {self.frame} in {self.output}; give another --output")
        angiogram = read_angiogram(self.frame)
        count = len(angiogram.frames)
        if not 0 <= self.index < count:
            raise ConfigError(f"--index is {self.index}; give one from 0 to {count - 1}, the frames of {self.frame}")
        result = mask_frame(
            angiogram.grey(self.index, GreyLevels(bright_vessels=self.inverted)),
            self.schedule,
            self.epoch,
            self.anatomy,
            self.model or "",
            self.device,
            self.guide or "",
        )
        name = stem(self.frame) + (f"_{self.index}" if count > 1 else "")
        npz, table, figure = (self.output / f"{name}{suffix}" for suffix in (".npz", ".csv", ".png"))
        save_npz(npz, {"": result})
        tables = save_csv(table, {"": result})
        save_figure(figure, result)
        made, mask = result.reconstruction, result.mask
        return {
            "written": [str(path) for path in (npz, *tables, figure)],
            "settings": result.settings(),
            "beta": mask.beta,
            "patches": mask.masked.size,
            "masked": int(mask.masked.sum()),
            "guided": int(mask.guided.sum()),
            "thrown": 0 if mask.thrown is None else int(mask.thrown.sum()),
            "l_rec": None if made is None else made.l_rec,
            "l_cons": None if made is None else made.l_cons,
        }

    def summary(self, result: dict[str, Any]) -> str:
        """What is masked, how well it was drawn, and where the files are."""
        r = result
        by = r["settings"].get("guided_by")
        chosen = f"by {by} of {r['settings']['guide']}" if by else "for their vessels"
        thrown = f", {r['thrown']} are thrown away" if r["thrown"] else ""
        lines = [
            f"β = {r['beta']:.2f}: {r['masked']} of {r['patches']} patches are masked, {r['guided']} {chosen}{thrown}"
        ]
        if r["l_rec"] is not None:
            cons = "" if r["l_cons"] is None else f", L_cons {r['l_cons']:.3f}"
            lines.append(f"{r['settings']['model']}: L_rec {r['l_rec']:.3f}{cons}")
        return "\n".join([*lines, *r["written"]])

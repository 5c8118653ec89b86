"""Commands about labels: taking those of another layout into a label set, and giving labels away in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vasomim_core.cli.common import Options, frames_bar
from vasomim_core.exchange.formats import From, To
from vasomim_core.exchange.importing import Others

Source = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class Import(Options):
    """Take labels into a label set: COCO, ARCADE, nnU-Net raw, DICOM SEG, images/ with masks/, masks, another set.

    Attributes:
        source: the labels; or masks, whose angiograms --images names.
        into: the label set; made, with their classes, where there is none.
        form: what they are; None = what they look like.
        images: an angiogram, or a folder of them: those that the masks are of.
        categories: the categories of ARCADE are classes, too; else they are vessel all together.
        annotator: who drew the masks; None = whom they name, if they do.
        new_only: leave frames as they are that the set has; else another mask of one becomes its newest revision.
        others: what becomes of frames whose label another reader accepted: replace it; keep the mask beside it, as a
            second reading; or refuse, and import nothing.
        add_classes: give the set the classes that it lacks.
        dry_run: say what would come of it, and write nothing.
    """

    source: Source
    into: Path
    form: Annotated[From | None, tyro.conf.arg(name="from")] = None
    images: Path | None = None
    categories: bool = False
    annotator: str | None = None
    new_only: bool = False
    others: Others = "refuse"
    add_classes: bool = False
    dry_run: bool = False

    def run(self) -> dict[str, Any]:
        """Look at all of it, then write what the set does not have yet."""
        from vasomim_core.exchange.formats import labelled
        from vasomim_core.exchange.importing import carry_out, plan_import
        from vasomim_core.files import plain_name
        from vasomim_core.labels.labelset import INDEX, LabelSet
        from vasomim_core.labels.reader import LabelReader

        folder = labelled(self.source, self.form, self.images, self.categories or None)
        made = not (self.into / INDEX).exists()
        labels = None if made else LabelReader(self.into)
        before = 0 if labels is None else len(labels.ids())
        with frames_bar() as progress:
            plan = plan_import(folder, labels, progress)
        counts = {"new": len(plan.new), "same": plan.same, "conflicting": len(plan.conflicting), "left": len(plan.left)}
        report = [*plan.report(), *filter(None, [plan.told_of_others(self.annotator)])]
        done: dict[str, Any] = {"labels": str(self.into), "before": before, **counts, "report": report}
        names = [one.name for one in plan.classes]
        if self.dry_run:
            return {**done, "made": False, "added": 0, "revised": 0, "read": 0, "classes": names}
        name = plain_name(self.into.resolve().name, "labels")
        into = LabelSet.create(self.into, name, plan.classes) if made else LabelSet.open(self.into)
        with frames_bar() as progress:
            came = carry_out(plan, into, self.annotator, self.new_only, self.add_classes, progress, self.others)
        counts = {"added": len(came.added), "revised": len(came.revised), "read": len(came.read)}
        return {**done, "made": made, **counts, "classes": names}

    def summary(self, result: dict[str, Any]) -> str:
        """The report, and how many frames came."""
        r = result
        had = f", {r['before']} were there" if r["before"] else ""
        read = f", {r['read']} kept as second readings" if r["read"] else ""
        came = f"{r['added']} frames added to {r['labels']}, {r['revised']} revised{read}{had}"
        came = "nothing is written" if self.dry_run else came
        return "\n".join([*r["report"], f"{came}; classes: {', '.join(r['classes'])}"])


@dataclass(frozen=True, kw_only=True)
class Export(Options):
    """Give labels or masks away: in another layout with the names of their classes, as pictures, films, or DICOM.

    Attributes:
        source: a label set, of which the accepted labels go, or any other labels that `vasomim import` takes; or masks,
            whose angiograms --images names.
        to: COCO (images/ beside annotations/ with run lengths), nnU-Net raw, pairs (images/ and masks/); or frames with
            their masks over them: png, tiff, and of runs mp4 and gif; or DICOM: Segmentation, or outlines as GSPS.
        output: a folder, new or empty; or a new file, such as run.mp4, for one frame or run.
        form: what the source is; None = what it looks like.
        images: an angiogram, or a folder of them: those that the masks are of, or that a label set was drawn on.
        outline: in pictures, draw the border of each class alone.
        frame: in pictures, which frame of each run, from 0; None = all that have a mask.
        rate: of films, frames a second; None = that of the run.
        names_patient: write DICOM, although such an object names the patient and the study of its source.
    """

    source: Source
    to: To = "coco"
    output: Path
    form: Annotated[From | None, tyro.conf.arg(name="from")] = None
    images: Path | None = None
    outline: bool = False
    frame: int | None = None
    rate: float | None = None
    names_patient: bool = False

    def run(self) -> dict[str, Any]:
        """Write it."""
        from vasomim_core.exchange.formats import hand_over, labelled
        from vasomim_core.exchange.pictures import Style

        folder = labelled(self.source, self.form, self.images)
        with frames_bar() as progress:
            style = Style(self.outline, self.frame, self.rate)
            written = hand_over(folder, self.to, self.output, progress, style, self.names_patient)
        return {
            "output": str(self.output),
            "written": [str(path) for path in written.paths],
            "frames": written.frames,
            "classes": [one.name for one in folder.classes()],
            "notes": list(written.notes),
        }

    def summary(self, result: dict[str, Any]) -> str:
        """How many frames there are, and what there is to say about them."""
        done = f"{result['frames']} frames in {result['output']}; classes: {', '.join(result['classes'])}"
        return "\n".join([done, *(f"note: {note}" for note in result["notes"])])


@dataclass(frozen=True, kw_only=True)
class Agreement(Options):
    """Compare what two readers of a label set have drawn: DSC and clDice, mean and spread over frames.

    Attributes:
        source: a label set with second readings.
        per_frame: also list every frame, the worst first.
        csv: a file for the table of the frames.
    """

    source: Source
    per_frame: bool = False
    csv: Path | None = None

    def run(self) -> dict[str, Any]:
        """Compare all frames that two have read."""
        from vasomim_core.evaluation.agreement import agreement_of, sum_up, to_rows, write_csv
        from vasomim_core.labels.reader import LabelReader

        with frames_bar() as progress:
            rows = agreement_of(LabelReader(self.source), progress)
        if self.csv is not None:
            write_csv(self.csv, rows)
        return {
            "labels": str(self.source),
            "agreement": [
                {
                    **vars(one),
                    "readers": list(one.readers),
                    **{name: _percent(getattr(one, name)) for name in ("dsc", "dsc_sd", "cldice", "cldice_sd")},
                }
                for one in sum_up(rows)
            ],
            **({"frames": to_rows(rows)} if self.per_frame else {}),
        }

    def summary(self, result: dict[str, Any]) -> str:
        """A table of readers, and of the frames when it is asked for."""
        if not result["agreement"]:
            return f"no frame of {result['labels']} was read by two readers"
        lines = [f"{'readers':<28}{'of':<16}{'frames':>7}{'DSC %':>16}{'clDice %':>16}"]
        for one in result["agreement"]:
            who = " – ".join(one["readers"]) + ("" if one["blind"] else ", not blind")
            means = "".join(f"{_mean(one[m], one[f'{m}_sd']):>16}" for m in ("dsc", "cldice"))
            lines.append(f"{who:<28}{one['what']:<16}{one['frames']:>7}{means}")
        began: dict[str, int] = {}
        for one in result["agreement"]:
            for how, count in one["began"].items() if one["what"] == "vessel" else ():
                began[how] = began.get(how, 0) + count
        lines.append("began with a prediction: " + ", ".join(f"{how} {count}" for how, count in began.items()))
        for row in result.get("frames", []):
            who = f"{row['first']} – {row['second']}"
            scores = f"{row['dsc']:>16.1f}{row['cldice']:>16.1f}"
            lines.append(f"{row['id']:<28}{who:<23}{scores}" + "  settled" * row["settled"])
        return "\n".join(lines)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _mean(mean: float, spread: float | None) -> str:
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}"

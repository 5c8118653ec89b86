"""Commands about label sets: taking labels of another layout in, and giving them away in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vasomim_core.cli.common import Options

Where = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class Import(Options):
    """Take labels of another layout into a label set: an ARCADE split, or images/ with masks/.

    Attributes:
        source: their folder.
        into: the label set; made, with their classes, where there is none.
        categories: the categories of an ARCADE split are classes, not all of them vessel alike.
        annotator: who drew them; None = ARCADE for an ARCADE split, else nobody in particular.
    """

    source: Where
    into: Path
    categories: bool = False
    annotator: str | None = None

    def run(self) -> dict[str, Any]:
        """Add what the set does not have yet."""
        from vasomim_core.files import plain_name
        from vasomim_core.labels.arcade import is_arcade_split
        from vasomim_core.labels.importing import import_arcade, import_pairs
        from vasomim_core.labels.labelled import label_classes
        from vasomim_core.labels.labelset import INDEX, LabelSet

        arcade = is_arcade_split(self.source)
        classes = label_classes(self.source, self.categories)
        made = not (self.into / INDEX).exists()
        name = plain_name(self.into.resolve().name, "labels")
        labels = LabelSet.create(self.into, name, classes) if made else LabelSet.open(self.into)
        by = ("ARCADE" if arcade else "") if self.annotator is None else self.annotator
        before = len(labels.ids())
        if arcade:
            added = import_arcade(labels, self.source, by, self.categories)
        else:
            added = import_pairs(labels, self.source, by)
        names = [one.name for one in labels.classes]
        return {"labels": str(self.into), "made": made, "added": len(added), "before": before, "classes": names}

    def summary(self, result: dict[str, Any]) -> str:
        """How many frames came."""
        r = result
        had = f", {r['before']} were there" if r["before"] else ""
        return f"{r['added']} frames added to {r['labels']}{had}; classes: {', '.join(r['classes'])}"


@dataclass(frozen=True, kw_only=True)
class Export(Options):
    """Give the accepted labels of a label set away in another layout, with the names of their classes.

    Attributes:
        labels: the label set.
        to: the layout: COCO, images/ beside annotations/ with run lengths.
        output: a folder for it, new or empty.
    """

    labels: Where
    to: Literal["coco"] = "coco"
    output: Path

    def run(self) -> dict[str, Any]:
        """Write it."""
        from vasomim_core.labels.coco import write_coco
        from vasomim_core.labels.labelset import LabelSet

        labels = LabelSet.open(self.labels)
        written = write_coco(labels, self.output)
        return {"output": str(self.output), "frames": len(written), "classes": [one.name for one in labels.classes]}

    def summary(self, result: dict[str, Any]) -> str:
        """How many frames there are."""
        return f"{result['frames']} frames in {result['output']}; classes: {', '.join(result['classes'])}"

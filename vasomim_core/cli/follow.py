"""The command that carries masks of some frames through their run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from vasomim_core.classes import MOST_CLASSES, ClassMask
from vasomim_core.cli.common import Options, frames_bar
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.files import passing_pages, write_text
from vasomim_core.labels.mask_file import MaskFile
from vasomim_core.reading import Angiogram, GreyLevels, read_angiogram, stem

Grey = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Follow(Options):
    """Carry corrected masks of some frames through the whole run.

    Attributes:
        run_file: an angiogram of several frames.
        anchor: INDEX=MASK, a frame from 0 and the file of its mask: 0/255 or class values, of the frame's size; from a
            file with a page for every frame of the run, the page of this frame is taken.
        output: folder for `<stem>.tif`, a page for each frame, and `<stem>_trust.csv`.
        model: a model that says where it sees vessels, by name, file or run folder; None = vesselness in its place,
            which is worse.
        other: values of the masks that are no vessel, such as a catheter's; the model is not asked about them.
        inverted: vessels are bright in this run.
        device: of the model: auto, cpu or cuda.
    """

    run_file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    anchor: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="INDEX=MASK")]
    output: Path
    model: str | None = None
    other: tuple[int, ...] = ()
    inverted: bool = False
    device: str = "auto"

    def run(self) -> dict[str, Any]:
        """Write the masks and how far each is to be trusted."""
        from vasomim_core.following import Followed, follow, unsure

        angiogram = read_angiogram(self.run_file)
        count = len(angiogram.frames)
        if count < 2:
            raise ConfigError(f"{self.run_file} has one frame: give a run, there is nothing to follow in a still")
        files = self._files(count)
        target = self.output / f"{stem(self.run_file)}.tif"
        taken = [self.run_file, *files.values()]
        if target.resolve() in [path.resolve() for path in taken] or self._beside():
            raise ConfigError(f"{target} would lie beside its run or replace a mask; give another output folder")
        anchors = _drawn(files, angiogram.frames.shape)
        frames = _Greys(angiogram, GreyLevels(bright_vessels=self.inverted))
        followed: list[Followed] = []
        with frames_bar() as progress:
            total = count if self.model is None else 2 * count
            found: list[NDArray[np.float16]] | None = None
            if self.model is not None:
                from vasomim_core.models.registry import load_model  # with torch

                model = load_model(self.model, self.device)
                found = []
                for frame in frames:
                    found.append(model.predict(frame).astype(np.float16))
                    progress(len(found), total)
            carried = follow(frames, anchors, found, self.other)
            for one in passing_pages(target, carried, lambda one: one.mask):
                followed.append(one)
                progress(total - count + len(followed), total)
        table = target.with_name(f"{stem(self.run_file)}_trust.csv")
        write_text(table, _table(followed))
        return {
            "written": [str(target), str(table)],
            "frames": [
                {"frame": one.index, "trust": round(one.trust, 3), "reason": one.reason, "anchor": one.anchor}
                for one in followed
            ],
            "look_at_first": [one.index for one in unsure(followed)],
            "model": None if self.model is None else model.name,
            "notes": list(angiogram.notes),
        }

    def _beside(self) -> bool:
        return self.output.resolve() == self.run_file.resolve().parent

    def _files(self, count: int) -> dict[int, Path]:
        """The file of each anchor's mask.

        Raises:
            ConfigError: not INDEX=MASK, an index out of range or given twice.
        """
        files: dict[int, Path] = {}
        for text in self.anchor:
            number, sign, path = text.partition("=")
            if not sign or not path or not number.strip().isdecimal():
                raise ConfigError(f"--anchor {text!r} is not INDEX=MASK, such as 12=mask.png")
            index = int(number)
            if index >= count:
                raise ConfigError(f"--anchor {text!r}: {self.run_file} has the frames 0 to {count - 1}")
            if index in files:
                raise ConfigError(f"frame {index} has two anchors, {files[index]} and {path}: give one of them")
            files[index] = Path(path)
        return files

    def summary(self, result: dict[str, Any]) -> str:
        """What was written, and the frames to look at first."""
        frames = result["frames"]
        unsure = [frames[index] for index in result["look_at_first"]]
        by = "vesselness alone" if result["model"] is None else result["model"]
        drawn = sum(one["anchor"] for one in frames)
        lines = [f"{len(frames)} frames followed from {drawn} by {by}, masks in {result['written'][0]}"]
        lines += [f"note: {note}" for note in result["notes"]]
        if unsure:
            lines.append(f"{len(unsure)} frames are unsure; look at these first (all are in {result['written'][1]}):")
            lines += [f"  frame {one['frame']}: {one['trust']:.2f}, {one['reason']}" for one in unsure[:10]]
        return "\n".join(lines)


class _Greys(Sequence[Grey]):
    """The frames of an angiogram as the engine sees them, each decoded when it is asked for."""

    def __init__(self, angiogram: Angiogram, levels: GreyLevels) -> None:
        self._angiogram, self._levels = angiogram, levels

    def __len__(self) -> int:
        return len(self._angiogram.frames)

    def __getitem__(self, index: Any) -> Any:
        return self._angiogram.grey(index, self._levels)

    def __iter__(self) -> Iterator[Grey]:
        return (self[index] for index in range(len(self)))


def _drawn(files: dict[int, Path], shape: tuple[int, int, int]) -> dict[int, ClassMask]:
    """The masks of the anchors.

    Raises:
        LabelError: a file is no mask, of another size, or has another number of pages; some are 0/255, some are not.
    """
    anchors: dict[int, ClassMask] = {}
    for index, path in files.items():
        pages = MaskFile(path)
        if len(pages) not in (1, shape[0]):
            raise LabelError(
                f"{path} has {len(pages)} pages and the run {shape[0]} frames: give a mask of one page, or of as many"
            )
        page = pages.page(0 if len(pages) == 1 else index)
        if page.shape != shape[1:]:
            raise LabelError(
                f"{path} is {page.shape[0]}×{page.shape[1]} px and frame {index} {shape[1]}×{shape[2]}: "
                "draw the mask on that frame"
            )
        values = np.unique(page)
        if page.dtype.kind == "f" or values[0] < 0 or values[-1] > 255 or len(values) > MOST_CLASSES + 1:
            raise LabelError(f"{path} is no mask but grey levels ({len(values)} values): give 0/255 or class values")
        anchors[index] = page.astype(np.uint8)
    used = {int(value) for mask in anchors.values() for value in np.unique(mask)} - {0}
    if 255 in used and len(used) > 1:
        raise LabelError("some anchors are 0/255 and some have class values: give all of them in one way")
    return anchors


def _table(followed: list[Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "trust", "reason", "anchor"])
    writer.writerows([one.index, f"{one.trust:.3f}", one.reason, int(one.anchor)] for one in followed)
    return text.getvalue()

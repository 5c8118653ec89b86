"""The evaluation of a folder of predicted masks against the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vasomim_core.errors import InputError, LabelError
from vasomim_core.evaluation.metrics import FrameScores, mean_scores, score_frame
from vasomim_core.labels.mask import Mask
from vasomim_core.labels.mask_file import MaskFile, Masks
from vasomim_core.labels.sources import labelled_folder, mask_files


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of predicted masks.

    Attributes:
        rows: The frames' scores, in the order of the truth.
        unused: Number of predicted files that have no truth; they are not scored.
        notes: What a person should know about the truth, one sentence each.
    """

    rows: tuple[FrameScores, ...]
    unused: int
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of frames that were scored."""
        return len(self.rows)

    @property
    def mean(self) -> dict[str, float]:
        """The mean over frames of each metric (see `mean_scores`)."""
        return mean_scores(self.rows)

    def to_dict(self, rows: bool = False) -> dict[str, Any]:
        """The evaluation as plain values for JSON: means in percent, HD95 in pixels, `n`, `unused`, and any `notes`.

        Args:
            rows: Also list the frames under `rows`, in the same units, each with its `name`.
        """
        summary: dict[str, Any] = {**_percent(self.mean), "n": self.n, "unused": self.unused}
        if self.notes:
            summary["notes"] = list(self.notes)
        if rows:
            summary["rows"] = [_percent(asdict(row)) for row in self.rows]
        return summary


def evaluate(
    prediction: Path | str, truth: Path | str, progress: Callable[[int, int], None] | None = None
) -> Evaluation:
    """Score a folder of predicted masks against the truth, one frame after the other.

    A mask file is of any kind that can be read, with 0 for background and one other value for vessel; a multi-page TIFF
    holds the masks of a stack (t, H, W), scored page by page. In a folder `masks-alpha` the masks are the alpha
    channels of the files.

    Args:
        prediction: Folder of masks `<stem>.png` (or another kind of file).
        truth: A folder of masks with the same stems; a curated label set or another folder with a `masks/`
            folder in it; an ARCADE split folder; or a COCO file.
        progress: Called after each file with the number of files done and their total.

    Raises:
        InputError: a path is missing, a file cannot be read, or a true frame has no prediction.
        LabelError: a file that is not a mask, there are none, two files share a stem, or a prediction has another size
            or another number of pages than its truth.
    """
    predicted = mask_files(prediction)
    true = labelled_folder(truth)
    true_masks = true.masks()
    missing = [name for name in true_masks if name not in predicted]
    if missing:
        raise InputError(
            f"{Path(prediction) / missing[0]}.png is missing: "
            f"{len(missing)} of the {len(true_masks)} frames in {truth} have no prediction."
        )
    rows: list[FrameScores] = []
    for done, (name, masks) in enumerate(true_masks.items(), start=1):
        rows += _score_file(name, predicted[name](), masks(), truth)
        if progress is not None:
            progress(done, len(true_masks))
    return Evaluation(tuple(rows), unused=len(predicted.keys() - true_masks.keys()), notes=true.notes())


def _score_file(name: str, predicted: MaskFile, true: Masks, truth: Path | str) -> Iterator[FrameScores]:
    count = len(predicted)
    if count != len(true):
        raise LabelError(f"{predicted.path} holds {count} masks, but its truth in {truth} holds {len(true)}.")
    for t in range(count):
        frame, p, g = name if count == 1 else f"{name}[{t}]", predicted[t], true[t]
        if p.shape != g.shape:
            raise LabelError(
                f"{predicted.path} does not fit: the prediction of {frame} has {_size(p)} pixels (width × height), "
                f"its truth in {truth} has {_size(g)}."
            )
        yield score_frame(p, g, frame)


def _percent(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value if name in ("name", "hd95") else 100 * value for name, value in scores.items()}


def _size(mask: Mask) -> str:
    return f"{mask.shape[1]}×{mask.shape[0]}"

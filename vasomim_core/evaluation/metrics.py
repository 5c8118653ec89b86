"""Scores of vessel masks against true masks, per frame at the frame's own size, then in the mean over frames.

Masks are (H, W) arrays; anything but 0 is vessel. P is the predicted and G the true set of vessel pixels.
An empty mask never divides by zero:

| P     | G     | DSC, clDice, IoU, sensitivity, precision | HD95               |
|-------|-------|------------------------------------------|--------------------|
| empty | empty | 1                                        | 0                  |
| empty | any   | 0                                        | frame's diagonal   |
| any   | empty | 0                                        | frame's diagonal   |

The diagonal is longer than any distance inside the frame. So no frame drops out of a mean (a NaN would
reward the model that finds nothing), and every mean is a number.

Only `hd95`, and with it `score_frame` and `evaluate_masks`, loads torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps
from skimage.morphology import skeletonize

from vasomim_core.errors import ConfigError, InputError, LabelError
from vasomim_core.labels.arcade import CocoMasks, is_arcade_split, nfc, split_annotations
from vasomim_core.labels.labelset import INDEX, MASKS_ALPHA, LabelSet, refuse_two_masks
from vasomim_core.reading import png, read_angiogram

Mask = NDArray[np.bool_]

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".pgm", ".pbm", ".pnm")


def dsc(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Dice similarity coefficient 2|P ∩ G| / (|P| + |G|), in [0, 1]; 1 if both masks are empty."""
    p, g = _pair(prediction, truth)
    return _ratio(2 * _count(p & g), _count(p) + _count(g), p, g)


def iou(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Intersection over union |P ∩ G| / |P ∪ G| (Jaccard), in [0, 1]; 1 if both masks are empty."""
    p, g = _pair(prediction, truth)
    return _ratio(_count(p & g), _count(p | g), p, g)


def sensitivity(prediction: ArrayLike, truth: ArrayLike) -> float:
    """True vessel that was found, |P ∩ G| / |G|, in [0, 1]; if G is empty, 1 if P is too, else 0."""
    p, g = _pair(prediction, truth)
    return _ratio(_count(p & g), _count(g), p, g)


def precision(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Prediction that is true vessel, |P ∩ G| / |P|, in [0, 1]; if P is empty, 1 if G is too, else 0."""
    p, g = _pair(prediction, truth)
    return _ratio(_count(p & g), _count(p), p, g)


def cldice(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Centreline Dice, in [0, 1]; 1 if both masks are empty, 0 if one is.

    The harmonic mean of topology precision |S_P ∩ G| / |S_P| and topology sensitivity |S_G ∩ P| / |S_G|, with
    S the skeleton by scikit-image's `skeletonize` (Shit et al., "clDice", CVPR 2021, equations 1 and 2).
    """
    p, g = _pair(prediction, truth)
    if not (p.any() and g.any()):
        return float(p.any() == g.any())
    topology_precision = precision(skeletonize(p), g)
    topology_sensitivity = sensitivity(p, skeletonize(g))
    total = topology_precision + topology_sensitivity
    return 2 * topology_precision * topology_sensitivity / total if total else 0.0


def hd95(prediction: ArrayLike, truth: ArrayLike) -> float:
    """95th percentile Hausdorff distance between the masks' edges, in pixels; 0 if both masks are empty.

    The larger of the two directed 95th percentiles, computed by MONAI. If just one mask is empty, it is the
    frame's diagonal √(H² + W²).
    """
    p, g = _pair(prediction, truth)
    if not (p.any() and g.any()):
        return 0.0 if p.any() == g.any() else float(np.hypot(*p.shape))

    import torch
    from monai.metrics import compute_hausdorff_distance

    with warnings.catch_warnings():
        # MONAI 1.6 warns of a deprecated argument that it passes to itself.
        warnings.simplefilter("ignore", FutureWarning)
        distance = compute_hausdorff_distance(
            torch.from_numpy(p)[None, None],
            torch.from_numpy(g)[None, None],
            include_background=True,
            percentile=95,
        )
    return float(distance)


def expected_calibration_error(
    probability: ArrayLike, truth: ArrayLike, bins: int = 15, weights: ArrayLike | None = None
) -> float:
    """Expected calibration error of vessel probabilities, in [0, 1]; 0 is perfectly calibrated.

    ECE = Σ_m |B_m| / n · |acc(B_m) − conf(B_m)| over equal bins ((m − 1)/M, m/M] (Guo et al., "On Calibration
    of Modern Neural Networks", ICML 2017, equation 3), in its binary form: conf is the mean probability of
    vessel in a bin, acc the share of its pixels that are vessel.

    Args:
        probability: Probability of vessel in [0, 1], any shape.
        truth: True mask of the same shape; anything but 0 is vessel.
        bins: Number M of bins, at least 1.
        weights: How many pixels each value stands for, of the same shape; None = one.

    Raises:
        InputError: the arrays are empty or weigh nothing, are of different shapes, or a probability is not within
            [0, 1].
        ConfigError: `bins` is below 1.
    """
    p, g = np.asarray(probability, dtype=np.float64), np.asarray(truth).astype(bool)
    if p.shape != g.shape or p.size == 0:
        raise InputError(f"Probabilities {p.shape} and truth {g.shape} must have one shape that is not empty.")
    if not (p.min() >= 0 and p.max() <= 1):
        raise InputError("Probabilities must be finite and lie in [0, 1]: apply the sigmoid to logits first.")
    if bins < 1:
        raise ConfigError(f"bins must be at least 1, not {bins}.")
    w = np.ones(p.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != p.shape or not w.sum() > 0:
        raise InputError(f"Weights must have the shape {p.shape} of the probabilities, and not all be 0.")
    bin_of = np.clip(np.ceil(p.ravel() * bins).astype(np.intp) - 1, 0, bins - 1)
    # |B| · (acc − conf) of a bin is the sum of truth − probability over it.
    gap = np.bincount(bin_of, weights=(w * (g - p)).ravel(), minlength=bins)
    return float(np.abs(gap).sum() / w.sum())


@dataclass(frozen=True)
class FrameScores:
    """The scores of one frame, or their means.

    Attributes:
        name: The frame: its stem, followed by [t] in a stack.
        dsc: Dice similarity coefficient, 0 to 1.
        cldice: Centreline Dice, 0 to 1.
        iou: Intersection over union, 0 to 1.
        sensitivity: Share of the true vessel that was found, 0 to 1.
        precision: Share of the predicted vessel that is true, 0 to 1.
        hd95: 95th percentile Hausdorff distance, in pixels.
    """

    name: str
    dsc: float
    cldice: float
    iou: float
    sensitivity: float
    precision: float
    hd95: float


METRICS = tuple(field.name for field in fields(FrameScores) if field.name != "name")
"""The names of the metrics, in the order of `FrameScores`."""


def score_frame(prediction: ArrayLike, truth: ArrayLike, name: str = "") -> FrameScores:
    """Score one predicted mask (H, W) against the true one; anything but 0 is vessel.

    Raises:
        LabelError: the masks are not two-dimensional or differ in size.
    """
    metrics = (dsc, cldice, iou, sensitivity, precision, hd95)
    return FrameScores(name, *(metric(prediction, truth) for metric in metrics))


def mean_scores(rows: Sequence[FrameScores]) -> dict[str, float]:
    """The mean over frames of each metric, by its name in `METRICS`; every frame counts.

    Raises:
        InputError: there is no frame.
    """
    if not rows:
        raise InputError("There is no frame to take a mean over.")
    return {metric: float(np.mean([getattr(row, metric) for row in rows])) for metric in METRICS}


def mean_overlap(pairs: Iterable[tuple[ArrayLike, ArrayLike]]) -> tuple[float, float]:
    """Mean DSC and clDice in percent over frames: what a model is judged by while it is trained. Free of torch.

    Args:
        pairs: predicted and true mask (H, W) of each frame.

    Raises:
        InputError: there is no frame.
    """
    rows = [(dsc(found, truth), cldice(found, truth)) for found, truth in pairs]
    if not rows:
        raise InputError("There is no frame to take a mean over.")
    means = 100 * np.mean(rows, axis=0)
    return float(means[0]), float(means[1])


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of predicted masks.

    Attributes:
        rows: The frames' scores, in the order of the truth.
        unused: Number of predicted files that have no truth; they are not scored.
        notes: What a person should know about the truth, one sentence each.
    """

    rows: tuple[FrameScores, ...]
    unused: int = 0
    notes: tuple[str, ...] = ()

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


def evaluate_masks(
    prediction: Path | str, truth: Path | str, progress: Callable[[int, int], None] | None = None
) -> Evaluation:
    """Score a folder of predicted masks against the truth, one frame after the other.

    A mask file is a PNG, TIFF, BMP or PGM with 0 for background and 1 or 255 for vessel (8-bit: grey > 127; 16-bit:
    above half its range); a multi-page TIFF holds the masks of a stack (t, H, W), scored page by page. In a folder
    `masks-alpha` the masks are the alpha channels of the files.

    Args:
        prediction: Folder of masks `<stem>.png` (or .tif).
        truth: A folder of masks with the same stems; a curated label set or another folder with a `masks/`
            folder in it; an ARCADE split folder; or a COCO file.
        progress: Called after each file with the number of files done and their total.

    Raises:
        InputError: a path is missing, a file cannot be read as a mask, or a true frame has no prediction.
        LabelError: the truth holds no masks, two files share a stem, or a prediction has another size or
            another number of pages than its truth.
    """
    predicted = _masks_by_stem(Path(prediction))
    true_pages, notes = _true_pages(Path(truth))
    missing = [stem for stem in true_pages if stem not in predicted]
    if missing:
        raise InputError(
            f"{Path(prediction) / missing[0]}.png is missing: "
            f"{len(missing)} of the {len(true_pages)} frames in {truth} have no prediction."
        )
    rows: list[FrameScores] = []
    for done, (stem, pages) in enumerate(true_pages.items(), start=1):
        rows += _score_pages(predicted[stem], stem, pages(), truth)
        if progress is not None:
            progress(done, len(true_pages))
    return Evaluation(tuple(rows), unused=len(predicted.keys() - true_pages.keys()), notes=notes)


def _score_pages(file: Path, stem: str, true_pages: list[Mask], truth: Path | str) -> Iterator[FrameScores]:
    pages = _read_pages(file)
    if len(pages) != len(true_pages):
        raise LabelError(f"{file} holds {len(pages)} masks, but its truth in {truth} holds {len(true_pages)}.")
    for t, (p, g) in enumerate(zip(pages, true_pages, strict=True)):
        name = stem if len(pages) == 1 else f"{stem}[{t}]"
        if p.shape != g.shape:
            raise LabelError(
                f"{file} does not fit: the prediction of {name} has {_size(p)} pixels (width × height), "
                f"its truth in {truth} has {_size(g)}."
            )
        yield score_frame(p, g, name)


def _true_pages(truth: Path) -> tuple[dict[str, Callable[[], list[Mask]]], tuple[str, ...]]:
    """For each stem of the truth, a function that reads or draws its masks; and what there is to say about it."""
    if truth.is_file() and truth.suffix.lower() != ".json":
        raise InputError(f"{truth} is neither a folder of masks nor a COCO file (.json).")
    if truth.is_file() or is_arcade_split(truth):
        coco = CocoMasks(truth if truth.is_file() else split_annotations(truth))
        notes = tuple(sentence for sentences in coco.problems.values() for sentence in sentences)
        return {stem: partial(_drawn, coco, stem) for stem in coco.stems}, notes
    if (truth / INDEX).is_file():  # of a curated set what was accepted is true
        labels = LabelSet.open(truth)
        accepted = [record.id for record in labels.records("accepted")]
        return {name: partial(_read_pages, labels.mask_path(name)) for name in accepted}, ()
    folder = next((truth / name for name in ("masks", MASKS_ALPHA) if (truth / name).is_dir()), truth)
    files = _masks_by_stem(folder)
    if not files:
        raise LabelError(f"{truth} holds no masks: give a folder of PNG or TIFF masks, or an ARCADE split.")
    alpha = folder.resolve().name == MASKS_ALPHA
    return {stem: partial(_read_pages, file, alpha) for stem, file in files.items()}, ()


def _drawn(coco: CocoMasks, stem: str) -> list[Mask]:
    return [coco.mask(stem)]


def _masks_by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: a folder of masks is needed.")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or file.suffix.lower() not in MASK_SUFFIXES or not file.is_file():
            continue
        stem = nfc(file.stem)
        if stem in files:
            raise LabelError(f"{file} and {files[stem].name} are two masks of one frame: remove one.")
        files[stem] = file
    return files


def _read_pages(file: Path, alpha: bool = False) -> list[Mask]:
    """The masks in a file, page by page, upright."""
    if alpha:
        return [_binary(page, file) for page in read_angiogram(file, alpha=True).frames]
    try:
        with open(file, "rb") as head:
            is_png = head.read(len(png.MAGIC)) == png.MAGIC
        with Image.open(png.picture(file) if is_png else file) as image:
            has_alpha = "A" in image.getbands() or "transparency" in image.info
            pages = [_grey(image, page) for page in range(getattr(image, "n_frames", 1))]
    except Exception as error:  # PIL's decoders raise nearly anything on a damaged file
        raise InputError(f"{file} cannot be read as a mask: {str(error).rstrip('.')}.") from error
    for index, page in enumerate(pages if has_alpha else ()):
        refuse_two_masks(file, page, index)
    return [_binary(page, file) for page in pages]


def _grey(image: Image.Image, page: int) -> NDArray[Any]:
    image.seek(page)
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise ValueError("it holds fractions, not 0 and 255")
    if image.mode.startswith("I"):  # 16 bits, which convert would clip to 8
        return np.asarray(image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    if (red != green).any() or (red != blue).any():
        raise ValueError("it is in colour, not grey")
    return red


def _binary(grey: NDArray[Any], file: Path) -> Mask:
    top = int(grey.max(initial=0))
    if top <= 1:
        return grey > 0
    if top <= 127:
        raise InputError(f"{file} is not a binary mask: its brightest value is {top}; save it as 0 and 255.")
    return grey > (127 if top <= 255 else 32767)


def _pair(prediction: ArrayLike, truth: ArrayLike) -> tuple[Mask, Mask]:
    # PIL's one-bit images become bool arrays of byte 255, on which `skeletonize` crashes. A comparison mends
    # them, astype(bool) does not.
    p, g = np.asarray(prediction) != 0, np.asarray(truth) != 0
    if p.shape != g.shape or p.ndim != 2:
        raise LabelError(f"A prediction {p.shape} and its truth {g.shape} must be two masks (H, W) of one size.")
    return p, g


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _ratio(part: int, whole: int, p: Mask, g: Mask) -> float:
    return part / whole if whole else float(not p.any() and not g.any())


def _percent(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value if name in ("name", "hd95") else 100 * value for name, value in scores.items()}


def _size(mask: Mask) -> str:
    return f"{mask.shape[1]}×{mask.shape[0]}"

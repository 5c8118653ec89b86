"""How much of a model's DSC is lost when frames come otherwise than those it was trained on.

    python benchmarks/robustness.py --data arcade/syntax/val [--model vasomim-fast] [--frames 200] [--vessels main]

Truth goes through the same change of geometry as its frame; grey levels are changed after that. Frames reach the
model as they do in the window: through `to_uint8`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.evaluation.metrics import mean_overlap
from vasomim_core.labels.labelled import open_labels
from vasomim_core.models.registry import load_model
from vasomim_core.reading import to_uint8

Frame = NDArray[np.generic]
Mask = NDArray[np.bool_]
Change = Callable[[NDArray[np.uint8], Mask, np.random.Generator], tuple[Frame, Mask]]


def grey(change: Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]) -> Change:
    """A change of grey levels 0 … 1 alone."""

    def changed(frame: NDArray[np.uint8], mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
        levels = change(frame.astype(np.float32) / 255, rng)
        return (np.clip(levels, 0, 1) * 255 + 0.5).astype(np.uint8), mask

    return changed


def sized(height: int, width: int) -> Change:
    """Another number of pixels; another shape stretches nothing, it cuts the middle out."""

    def changed(frame: NDArray[np.uint8], mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
        h, w = frame.shape
        scale = max(height / h, width / w)
        size = round(w * scale), round(h * scale)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        big = cv2.resize(frame, size, interpolation=way)
        truth = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA if scale < 1 else 1) > 127
        top, left = (size[1] - height) // 2, (size[0] - width) // 2
        return big[top : top + height, left : left + width], truth[top : top + height, left : left + width]

    return changed


def collimated(frame: NDArray[np.uint8], mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """Black shutters over a sixth of the frame at each side; what they hide is no vessel any more."""
    h, w = frame.shape
    seen = np.zeros(frame.shape, bool)
    seen[h // 6 : -h // 6, w // 6 : -w // 6] = True
    return np.where(seen, frame, 8).astype(np.uint8), mask & seen


def deep(frame: NDArray[np.uint8], mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """As a 12-bit detector would store it, with an offset, in 16 bits."""
    return (frame.astype(np.uint16) * 13 + 300 + rng.integers(0, 13, frame.shape, dtype=np.uint16)), mask


def jpeg(frame: NDArray[np.uint8], mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """Stored as JPEG of quality 30."""
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE), mask


def wired(frame: NDArray[np.uint8], mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """Three electrodes with their wires, and sternal clips: dark, sharp, of even depth."""
    h, w = frame.shape
    drawn = np.zeros(frame.shape, np.float32)
    for _ in range(3):
        start, end = (tuple(np.rint(rng.uniform(0, (w, h))).astype(int)) for _ in range(2))
        cv2.line(drawn, start, end, 1.0, 2, cv2.LINE_AA)
        cv2.circle(drawn, end, 9, 1.0, -1, cv2.LINE_AA)
    for row in range(60, h - 60, 70):
        cv2.ellipse(drawn, (w // 2, row), (14, 6), 20, 0, 330, 1.0, 2, cv2.LINE_AA)
    return (frame * np.exp(-0.7 * drawn)).astype(np.uint8), mask


def within(frame: NDArray[np.uint8], mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """Smaller, in the middle of the dark field that a collimator leaves."""
    h, w = frame.shape
    small, truth = sized(round(0.6 * h), round(0.6 * w))(frame, mask, rng)
    field, drawn = np.full(frame.shape, 8, np.uint8), np.zeros(frame.shape, bool)
    place = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(frame.shape, truth.shape, strict=True))
    field[place], drawn[place] = small, truth
    return field, drawn


CHANGES: dict[str, Change] = {
    "as they are": lambda frame, mask, rng: (frame, mask),
    "256 × 256": sized(256, 256),
    "1024 × 1024": sized(1024, 1024),
    "600 × 800, cut": sized(600, 800),
    "12-bit in 16": deep,
    "noise, σ 8 of 255": grey(lambda x, rng: x + rng.normal(0, 8 / 255, x.shape).astype(np.float32)),
    "noise, σ 16 of 255": grey(lambda x, rng: x + rng.normal(0, 16 / 255, x.shape).astype(np.float32)),
    "blur, σ 1.5 px": grey(lambda x, rng: np.asarray(cv2.GaussianBlur(x, (0, 0), 1.5))),
    "half the contrast": grey(lambda x, rng: (x - x.mean()) / 2 + x.mean()),
    "gamma 0.6": grey(lambda x, rng: x**0.6),
    "gamma 1.6": grey(lambda x, rng: x**1.6),
    "JPEG, quality 30": jpeg,
    "collimated": collimated,
    "twice the contrast": grey(lambda x, rng: (x - x.mean()) * 2 + x.mean()),
    "electrodes, wires, clips": wired,
    "0.6 of its size": within,
    "mirrored": lambda frame, mask, rng: (frame[:, ::-1], mask[:, ::-1]),
    "upside down": lambda frame, mask, rng: (frame[::-1], mask[::-1]),
    "turned by 20°": lambda frame, mask, rng: (_turned(frame, True), _turned(mask.astype(np.uint8), False) > 0),
    "negative, not marked as inverted": lambda frame, mask, rng: (255 - frame, mask),
}


def _turned(image: NDArray[np.uint8], smooth: bool) -> NDArray[np.uint8]:
    h, w = image.shape
    matrix = cv2.getRotationMatrix2D((w / 2 - 0.5, h / 2 - 0.5), 20, 1)
    way, border = (cv2.INTER_LINEAR, cv2.BORDER_REPLICATE) if smooth else (cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.warpAffine(image, matrix, (w, h), flags=way, borderMode=border), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="labelled frames")
    parser.add_argument("--model", default="vasomim-fast")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--vessels", choices=("every", "main"), default="every", help="what the labels hold")
    options = parser.parse_args()
    model, labels = load_model(options.model), open_labels(options.data)
    chosen = labels[:: max(1, len(labels) // options.frames)][: options.frames]
    pairs = [(one.frame(), np.asarray(one.mask(), bool)) for one in chosen]
    print(f"{model.name}, {len(pairs)} frames\n\n| frames | DSC | clDice | loss of DSC |\n|---|---|---|---|")
    whole = None
    for name, change in CHANGES.items():

        def pair(k: int, change: Change = change) -> tuple[Mask, Mask]:
            changed, truth = change(*pairs[k], np.random.default_rng(k))
            found = model.predict_classes(to_uint8(np.ascontiguousarray(changed)))
            return model.vessels(found, options.vessels)[1], truth

        score, line = mean_overlap(map(pair, range(len(pairs))))
        whole = score if whole is None else whole
        print(f"| {name} | {score:.1f} | {line:.1f} | {whole - score:.1f} |", flush=True)


if __name__ == "__main__":
    main()

"""Vesselness and the released anatomy against scikit-image, on one noisy 512² frame with dark curved lines."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import filters
from timing import compare, smallest

from vasomim_core.anatomy import extract_anatomy, frangi, sato

SIGMAS = (1, 2, 3, 4)


def angiogram_like(side: int = 512) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    x = np.arange(side)
    lines = np.zeros((side, side), np.uint8)
    for width in (3, 5, 9, 13):
        y = side / 2 + side / 4 * np.sin(x / rng.uniform(40, 90) + rng.uniform(0, 6))
        cv2.polylines(lines, [np.stack([x, y], 1).astype(np.int32)], False, 70, width)
    return np.clip(160.0 - lines + rng.normal(0, 8, lines.shape), 0, 255).astype(np.uint8)


def plain_released(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    response = filters.sato(image, sigmas=SIGMAS, black_ridges=True, mode="reflect").astype(np.uint8)
    response[:20] = response[-20:] = 0
    response[:, :20] = response[:, -20:] = 0
    strong = response >= np.percentile(response, 92)
    seed = tuple(int(i) for i in np.unravel_index(response.argmax(), response.shape))
    mask, stack = np.zeros(image.shape, bool), [seed]
    mask[seed] = True
    while stack:
        row, column = stack.pop()
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= r < image.shape[0] and 0 <= c < image.shape[1] and strong[r, c] and not mask[r, c]:
                mask[r, c] = True
                stack.append((r, c))
    return mask


def main() -> None:
    repeats = 1 if smallest(__doc__) else 7
    image = angiogram_like()
    if not np.array_equal(extract_anatomy(image, "as-released"), plain_released(image)):
        raise SystemExit("as-released differs from the plain version")
    for name, ours, theirs in (("Sato", sato, filters.sato), ("Frangi", frangi, filters.frangi)):
        compare(
            f"{name}, 512², σ 1–4",
            ("OpenCV", lambda ours=ours: ours(image, SIGMAS)),  # type: ignore[misc]
            ("scikit-image", lambda theirs=theirs: theirs(image, sigmas=SIGMAS)),  # type: ignore[misc]
            target=15,
            repeats=repeats,
        )
    compare(
        "anatomy as-released, 512²",
        ("ours", lambda: extract_anatomy(image, "as-released")),
        ("scikit-image Sato + plain flood fill", lambda: plain_released(image)),
        target=15,
        repeats=repeats,
    )
    compare(
        "anatomy robust, 512²",
        ("ours", lambda: extract_anatomy(image, "robust")),
        ("scikit-image Sato + plain flood fill", lambda: plain_released(image)),
        repeats=repeats,
    )


if __name__ == "__main__":
    main()

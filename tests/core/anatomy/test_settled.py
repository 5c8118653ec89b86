"""The anatomy of a few frames stays what it was when the figures in the documents were measured.

The masks beside this file were written by `python -m tests.core.anatomy.test_settled`. A change that is meant to
change them measures those figures again, too.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from vasomim_core.anatomy import extract_anatomy
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.files import write_png
from vasomim_core.synthetic import synthesize

SETTLED = Path(__file__).with_name("settled")
# Frames on which each setting of the robust mode matters: 10 % more of it, and they differ by more than that.
FRAMES = [3, 4, 7, 10]


@pytest.mark.parametrize("seed", FRAMES)
@pytest.mark.parametrize("mode", ["as-released", "robust"])
def test_the_anatomy_stays_what_it_was(mode, seed):
    settled = cv2.imread(str(SETTLED / f"{mode}-{seed}.png"), cv2.IMREAD_GRAYSCALE)
    assert settled is not None
    assert dsc(extract_anatomy(synthesize(seed, size=384).frame, mode), settled) > 0.9985


if __name__ == "__main__":
    for seed in FRAMES:
        for mode in ("as-released", "robust"):
            mask = extract_anatomy(synthesize(seed, size=384).frame, mode)
            write_png(SETTLED / f"{mode}-{seed}.png", mask.astype("uint8") * 255)

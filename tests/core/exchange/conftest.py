from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.core.labels.conftest import arcade_part, pairs  # noqa: F401
from tests.core.labels.made import frame
from vasomim_core.classes import LabelClass
from vasomim_core.labels.labelset import LabelSet

THREE = (
    LabelClass(1, "main"),
    LabelClass(2, "catheter", "#3ca0e8", vessel=False),
    LabelClass(7, "twig", "#4cc26e"),
)


def drawn(seed: int) -> np.ndarray:
    """A class mask (12, 16) of all three."""
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 7], np.uint8), (12, 16))


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    """Four accepted frames of two groups, an empty one, a deep one, and one that is flagged."""
    labels = LabelSet.create(tmp_path / "set", "x", THREE)
    for seed in range(4):
        labels.add(frame(seed), drawn(seed), group=f"g{seed // 2}", frame_index=(None, 3)[seed % 2], annotator="A")
    labels.add(frame(4), drawn(4) * 0)
    labels.add(frame(5), drawn(5), status="flagged")
    labels.add(frame(6).astype(np.uint16) * 9, drawn(6), id="deep")
    return labels

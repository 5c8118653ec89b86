from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.core.labels.made import IDENTICAL, frame, mask, save


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for i in range(4):
        save(tmp_path / "pairs" / "images" / f"{i}.png", frame(i))
        save(tmp_path / "pairs" / "masks" / f"{i}.png", mask(i) * np.uint8(255))
    return tmp_path / "pairs"


@pytest.fixture(scope="session")
def arcade_part(arcade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ARCADE's training split with 14 of its images, the identical ones among them."""
    part = tmp_path_factory.mktemp("arcade") / "train"
    shutil.copytree(arcade / "train" / "annotations", part / "annotations")
    (part / "images").mkdir()
    for stem in {stem for pair in IDENTICAL for stem in pair} | {"1", "2", "3", "4"}:
        shutil.copy(arcade / "train" / "images" / f"{stem}.png", part / "images")
    return part

"""What the tests of the engine share. Real frames are read from beside the checkout and never copied into it."""

from __future__ import annotations

from pathlib import Path

import pytest

ARCADE = Path(__file__).resolve().parents[3] / "shared" / "data" / "arcade" / "syntax"


@pytest.fixture(scope="session")
def arcade() -> Path:
    """ARCADE's `syntax` folder with `train` and `val` in it; the test is skipped where it is absent."""
    if not ARCADE.is_dir():
        pytest.skip(f"no real angiograms: {ARCADE.name} is not beside the checkout (see README, 'Data')")
    return ARCADE

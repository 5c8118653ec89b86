"""What the tests of the engine share. Real frames are read from beside the checkout and never copied into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import VasoMIM

ARCADE = Path(__file__).resolve().parents[3] / "shared" / "data" / "arcade" / "syntax"


@pytest.fixture(scope="session")
def arcade() -> Path:
    """ARCADE's `syntax` folder with `train` and `val` in it; the test is skipped where it is absent."""
    if not ARCADE.is_dir():
        pytest.skip(f"no real angiograms: {ARCADE.name} is not beside the checkout (see README, 'Data')")
    return ARCADE


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small pretrained model with its segmentor."""
    options = {"encoder": "tiny", "input_size": 64, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
    config = {"mask_ratio": 0.5, "sampler": "anatomy", "co_guidance": False, "consistency": 1.0}
    path = tmp_path_factory.mktemp("models") / "p.safetensors"
    model = VasoMIM(MaskedAutoencoder(**options), UNeXt())
    save_checkpoint(path, model.pretrained_state(), Card("autoencoder", "mae", options, config=config))
    return path


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """This process adds numbers up in the order of one thread, as the processes that it is held against."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

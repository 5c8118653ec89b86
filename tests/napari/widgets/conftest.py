"""What the tests of the panels share: the one inference child, a record of what it was asked, a small model."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_vasomim.background import engine
from vasomim_core.inference.requests import Hello

# In a process of its own, as in the window's torch is never loaded.
FROM_TORCH = """
import sys
from pathlib import Path
from vasomim_core.config import card_settings
from vasomim_core.methods.settings import METHODS, learner_of
from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import VasoMIM

options = {"encoder": "tiny", "input_size": 64, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
config = {"mask_ratio": 0.5, "sampler": "anatomy", "co_guidance": False, "consistency": 1.0}
network = VasoMIM(MaskedAutoencoder(**options), UNeXt())
card = Card("autoencoder", "mae", options, config=config)
folder = Path(sys.argv[1])
save_checkpoint(folder / "tiny-mae.safetensors", network.pretrained_state(), card)
for name in ("amt", "hpm", "deblurring"):
    config = METHODS[name].settings("data", "run", **options)
    method = learner_of(config)(config)
    kind, architecture, own, further = method.described()
    card = Card(kind, architecture, own, config=card_settings(config) | further)
    save_checkpoint(folder / f"{name}.safetensors", method.kept(), card)
"""


@pytest.fixture(scope="session", autouse=True)
def _one_child():
    yield
    engine.shared().close()


@pytest.fixture
def calls(monkeypatch):
    """The requests that the engine was asked."""
    asked, call = [], engine.shared().call

    def counted(request):
        if not isinstance(request, Hello):
            asked.append(request)
        return call(request)

    monkeypatch.setattr(engine.shared(), "call", counted)
    return asked


@pytest.fixture(scope="session")
def of_others(tmp_path_factory):
    """A folder with small models as pretraining by VasoMIM, AMT, HPM and DeblurringMIM leaves them, not trained."""
    folder = tmp_path_factory.mktemp("pretrained")
    subprocess.run([sys.executable, "-c", FROM_TORCH, folder], check=True)
    return folder


@pytest.fixture(scope="session")
def pretrained(of_others):
    """The path of a small pretrained model with its segmentor."""
    return of_others / "tiny-mae.safetensors"

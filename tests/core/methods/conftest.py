"""Frames in a folder, and an encoder that is quickly trained."""

from __future__ import annotations

import pytest
import torch

from tests.core.methods.made import Frames, shrink
from vasomim_core.files import write_png
from vasomim_core.models import vit


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(vit, "_SIZES", dict(vit._SIZES))
    shrink()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Eight frames as PNG."""
    place = tmp_path_factory.mktemp("frames")
    frames = Frames()
    for n in range(len(frames)):
        write_png(place / f"{n}.png", frames[n][0])
    return place

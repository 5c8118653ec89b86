"""Frames in a folder, and an encoder that is quickly trained."""

from __future__ import annotations

import pytest

from tests.core.methods.made import Frames, shrink
from vasomim_core.files import write_png
from vasomim_core.models import vit


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """For all methods."""


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

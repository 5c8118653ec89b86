"""Samples from napari's File menu."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vasomim.canvas.frames import current_index
from napari_vasomim.canvas.layers import facts, is_angiogram, owner, role

pytestmark = pytest.mark.once  # what is tested here knows no Qt


@pytest.mark.parametrize("key", ["left", "right", "cine"])
def test_a_sample_is_an_angiogram_with_its_hidden_truth(model, key, qtbot):
    model.open_sample("napari-vasomim", key)
    truth, angiogram = model.layers
    assert is_angiogram(angiogram)
    assert model.layers.selection.active is angiogram
    assert role(truth) == "truth"
    assert owner(model, truth) is angiogram
    assert not truth.visible
    assert truth.data.shape == angiogram.data.shape
    assert set(np.unique(truth.data)) == {0, 1}
    assert angiogram.data[truth.data > 0].mean() < angiogram.data[truth.data == 0].mean()


def test_the_cine_opens_filled(viewer, qtbot):
    viewer.open_sample("napari-vasomim", "cine")
    truth, angiogram = viewer.layers
    qtbot.waitUntil(lambda: facts(angiogram).fullest_frame is not None, timeout=10_000)
    assert current_index(viewer, angiogram) == truth.data.sum(axis=(1, 2)).argmax()

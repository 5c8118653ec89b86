"""A packaged model: the same masks, an honest probability, half the bytes."""

from __future__ import annotations

import numpy as np
import pytest

from vasomim_core.data.labelled import open_labels
from vasomim_core.data.synthetic import write_samples
from vasomim_core.errors import LabelError
from vasomim_core.inference import predict
from vasomim_core.models.catalogue import find_model, read_card
from vasomim_core.models.registry import load_model
from vasomim_core.packaging import package


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, 4, seed=50, size=256)
    return open_labels(folder)


def test_masks_stay_and_the_probability_becomes_honest(frames, tmp_path):
    packaged = tmp_path / "given.safetensors"
    scores = package("vasomim-demo", frames, packaged, "a line")
    card, before = read_card(packaged), read_card(find_model("vasomim-demo"))
    assert card.scores == {"validation": scores}
    assert card.description == "a line"
    assert card.config == before.config
    assert scores["frames"] == 4
    assert scores["ece_near"] < scores["ece_near_as_trained"]  # as it was trained, it was never calibrated
    model = load_model(packaged)
    p = predict(model, frames[0].frame())
    bare = package("vasomim-demo", frames[:2], tmp_path / "other.safetensors")
    other = load_model(tmp_path / "other.safetensors")
    q = predict(other, frames[0].frame())
    assert bare["frames"] == 2
    assert not np.allclose(p, q)
    differing = (p >= card.preprocessing.threshold) != (q >= other.card.preprocessing.threshold)
    assert differing.mean() < 1e-4
    with pytest.raises(LabelError, match="too few"):
        package("vasomim-demo", frames[:1], packaged)

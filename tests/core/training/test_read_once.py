"""Labels on their way from folder to model: what is checked and hashed is what is learned from, decoded once."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from tests.core.training.test_resume import FINETUNING, PRETRAINING, vasomim
from vasomim_core.exchange.formats import labelled as opened
from vasomim_core.exchange.importing import import_labels
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models.catalogue import read_card
from vasomim_core.reading import png
from vasomim_core.training import finetune_data


@pytest.fixture
def decoded(monkeypatch):
    """How often each PNG is decoded, by its folder and name."""
    count: Counter[str] = Counter()
    read_still = png.read_still

    def counted(path, *rest):
        count[f"{path.parent.name}/{path.name}"] += 1
        return read_still(path, *rest)

    monkeypatch.setattr(png, "read_still", counted)
    return count


@pytest.mark.parametrize("kind", ["pairs", "label set"])
def test_a_run_decodes_each_frame_and_mask_once(labelled, tmp_path, kind, decoded):
    folder = labelled
    if kind == "label set":
        folder = tmp_path / "set"
        import_labels(opened(labelled), LabelSet.create(folder, "x"))
        decoded.clear()
    assert vasomim("finetune", "--labels", folder, "--run", tmp_path / "run", *FINETUNING) == 0
    assert len(decoded) == 24
    assert set(decoded.values()) == {1}


def test_pretraining_decodes_each_still_once(labelled, tmp_path, decoded):
    """Looked through, counted, and learned from."""
    assert vasomim("pretrain", "--data", labelled, "--run", tmp_path / "run", *PRETRAINING) == 0
    assert set(decoded) == {f"images/{path.name}" for path in (labelled / "images").iterdir()}
    assert set(decoded.values()) == {1}


def test_a_run_learns_from_what_was_checked_and_hashed(labelled, tmp_path, monkeypatch):
    """Whatever becomes of the files between the check and the first step."""
    folder = shutil.copytree(labelled, tmp_path / "labels")
    split = finetune_data.training_and_validation

    def split_of_what_is_gone(*given):
        shutil.rmtree(folder)
        return split(*given)

    monkeypatch.setattr(finetune_data, "training_and_validation", split_of_what_is_gone)
    assert vasomim("finetune", "--labels", folder, "--run", tmp_path / "run", *FINETUNING) == 0
    assert read_card(tmp_path / "run" / "model.safetensors").data["frames"] == 9

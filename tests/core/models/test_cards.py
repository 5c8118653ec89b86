"""A model file may come from anybody: whatever its card says, it is used or refused in one sentence."""

from __future__ import annotations

import copy
import json
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vasomim_core.cli import run
from vasomim_core.errors import CheckpointError, ConfigError, VasoMIMError
from vasomim_core.inference.frame_masking import FrameMasking
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import WEIGHTS, find_model, models, read_card, register, survey
from vasomim_core.models.registry import load_model, load_pretrained

DEMO, ENCODER = (WEIGHTS / f"vasomim-{name}.safetensors" for name in ("demo", "encoder"))
FRAME = np.random.default_rng(0).integers(0, 255, (50, 70), np.uint8)
ODD = [None, True, -1, 0, 1, 10**9, 10**400, 0.5, 1e300, math.nan, math.inf, -math.inf, "1", "", [], [1], {}, {"a": 1}]
NESTED = "[" * 100_000 + "]" * 100_000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VASOMIM_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def card_of(path) -> dict:
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["vasomim"])


def written(path, model, card) -> None:
    text = card if isinstance(card, str) else json.dumps(card)
    save_file(load_file(model), path, metadata={"vasomim": text})


def places(values, path=()):
    """Every field of a card, those within others too."""
    for name, value in values.items():
        yield (*path, name)
        if isinstance(value, dict) and name != "config":
            yield from places(value, (*path, name))
    if path == ("config",):
        return
    yield (*path, "unknown")


def changed(card, place, value) -> dict:
    card = copy.deepcopy(card)
    inner = card
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return card


FIELDS = [*places(card_of(DEMO)), ("options", "widths"), ("options", "in_channels")]
MASKING = [("config", name) for name in ("mask_ratio", "sampler", "co_guidance", "consistency", "beta_end")]
FIELDS_OF_ENCODER = [
    *(place for place in places(card_of(ENCODER)) if place[0] in ("options", "architecture")),
    *MASKING,
]


@pytest.mark.parametrize("place", FIELDS, ids=".".join)
def test_any_value_of_a_segmentation_models_card_is_used_or_refused(tmp_path, place):
    longest = 0
    for value in ODD:
        written(tmp_path / "m.safetensors", DEMO, changed(card_of(DEMO), place, value))
        try:
            found = load_model(tmp_path / "m.safetensors").predict(FRAME)
        except CheckpointError as error:
            longest = max(longest, len(str(error)))
            continue
        assert found.shape == FRAME.shape
        assert np.isfinite(found).all()
    assert longest < 700 + len(str(tmp_path))


@pytest.mark.parametrize("place", FIELDS_OF_ENCODER, ids=".".join)
def test_any_value_of_an_encoders_card_too(tmp_path, place):
    longest = 0
    for value in ODD:
        written(tmp_path / "m.safetensors", ENCODER, changed(card_of(ENCODER), place, value))
        try:
            model, _ = load_pretrained(tmp_path / "m.safetensors")
        except CheckpointError as error:
            longest = max(longest, len(str(error)))
            continue
        own = model.autoencoder
        sizes = {"input_size": own.patch_embed.img_size[0], "patch_size": own.patch_size}
        masking = FrameMasking(FRAME, FRAME > 128, MaskingSchedule(epochs=1, **sizes))
        assert np.isfinite(masking.reconstruct(masking.mask(0), model).reconstruction).all()
    assert longest < 700 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("preprocessing", "stride"), 0, "stride is 0"),
        (("preprocessing", "stride"), 10**9, "stride is 1000000000"),
        (("preprocessing", "stride"), 7, "does not fit its network"),
        (("preprocessing", "frame_size"), 10**9, "frame_size is"),
        (("preprocessing", "tile"), 0, "tile is 0"),
        (("preprocessing", "threshold"), math.nan, "threshold is nan"),
        (("preprocessing", "mean"), [0.5, math.nan, 0.5], "mean is nan"),
        (("preprocessing", "mean"), [0.5], "mean is"),
        (("preprocessing", "std"), [0.2, 0, 0.2], "std is 0"),
        (("preprocessing", "calibration"), [math.inf, 0], "calibration is inf"),
        (("options",), {"width": 10**9}, "width is 1000000000"),
        (("scores",), {"validation": {"dsc": "high"}}, "scores.'validation'"),
        (("data",), {"frames": [1]}, "data.'frames'"),
        (("description",), "x" * 10_000, "description is"),
        (("kind",), "segmentation", "kind is"),
        (("kind",), "autoencoder", "is no autoencoder"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, place, value, sentence):
    written(tmp_path / "m.safetensors", DEMO, changed(card_of(DEMO), place, value))
    with pytest.raises(CheckpointError, match=sentence):
        load_model(tmp_path / "m.safetensors").predict(FRAME)


def test_sizes_that_the_tensors_do_not_have_take_no_memory(tmp_path, monkeypatch):
    card = card_of(ENCODER)
    card["options"] |= {"encoder": "large", "decoder_width": 2048, "decoder_depth": 24, "decoder_heads": 16}
    written(tmp_path / "m.safetensors", ENCODER, card)
    import torch

    made = []
    normal = torch.nn.init.trunc_normal_
    monkeypatch.setattr(
        torch.nn.init, "trunc_normal_", lambda t, *a, **k: made.append(t.device.type) or normal(t, *a, **k)
    )
    with pytest.raises(CheckpointError, match="another architecture"):
        load_pretrained(tmp_path / "m.safetensors")
    assert "cpu" not in made


def test_a_broken_model_is_listed_with_its_reason_and_hides_no_other(folder, capsys):
    packaged = set(models())
    written(folder / "deep.safetensors", DEMO, NESTED)
    written(folder / "nan.safetensors", DEMO, changed(card_of(DEMO), ("preprocessing", "threshold"), math.nan))
    written(folder / "good.safetensors", DEMO, card_of(DEMO))
    (folder / "cut.safetensors").write_bytes(DEMO.read_bytes()[:50])
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.safetensors")
    assert set(models()) == packaged | {"good"}
    broken = {name for name, found in survey().items() if isinstance(found, VasoMIMError)}
    assert broken >= {"deep", "nan", "cut"}
    assert run(["models"]) == 0
    said = capsys.readouterr().out
    assert "nan: cannot be used\n" in said
    assert "threshold is nan" in said
    assert "good: segmentation model" in said
    assert run(["models", "--json"]) == 0
    assert "threshold is nan" in json.loads(capsys.readouterr().out)["nan"]["unusable"]


@pytest.mark.parametrize(
    "name", ["../../x", "/tmp/x", "..", ".", "", "a/b", "a\\b", ".hidden", "x\x1b[2J", "a\nb", "x" * 300]
)
def test_a_models_name_does_not_leave_the_folder(folder, name, capsys):
    with pytest.raises(ConfigError, match="cannot name a model"):
        register(DEMO, name)
    assert run(["models", "--add", str(DEMO), "--name", name]) == 1
    assert "cannot name a model" in (sentence := capsys.readouterr().err)
    assert "\x1b" not in sentence
    assert not [path for path in folder.parent.rglob("*.safetensors")]


def test_a_run_folder_with_an_odd_name_gives_a_plain_one(folder, tmp_path):
    (tmp_path / "left ▸ 2").mkdir()
    (tmp_path / "left ▸ 2" / "model.safetensors").write_bytes(DEMO.read_bytes())
    assert run(["models", "--add", str(tmp_path / "left ▸ 2")]) == 0
    assert "left-2" in models()
    with pytest.raises(CheckpointError, match="no model is called"):
        find_model("../models/left-2")


def test_of_models_added_at_the_same_instant_none_is_overwritten(folder):
    together = threading.Barrier(6)

    def add(_: int) -> str:
        together.wait()
        return register(DEMO, "mine")

    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(add, range(6)))
    assert len(set(names)) == 6
    assert all(read_card(folder / f"{name}.safetensors") == read_card(DEMO) for name in names)


def test_a_segmentation_model_of_an_earlier_version_is_one():
    with safe_open(DEMO, "np") as file:
        assert json.loads(file.metadata()["vasomim"])["kind"] == "segmenter"
    assert read_card(DEMO).kind == "segmentation model"

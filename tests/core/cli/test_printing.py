"""What a file, a model or a label set calls itself reaches the terminal as text, and moves nothing there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from vasomim_core.cli import run
from vasomim_core.cli.common import printable
from vasomim_core.models.catalogue import WEIGHTS, read_card
from vasomim_core.models.checkpoint import save_checkpoint

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202egnp\u2069\x00\r"
DEMO = WEIGHTS / "vasomim-demo.safetensors"
CONTROLS = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066", "\u2028"} - {"\n", "\t"}


@given(st.text())
def test_nothing_that_acts_is_left_and_the_rest_is_as_it_was(text):
    shown = printable(text)
    assert not CONTROLS & set(shown)
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text
    shown.encode()


def test_words_of_all_languages_stay():
    for words in ("Gefäß 左冠状动脉 β γ – é", "می‌خواهم", "👩‍⚕️", "a\tb\nc"):
        assert printable(words) == words


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("VASOMIM_MODELS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_models_card_and_name(models, capsys, options):
    from dataclasses import replace

    card = replace(read_card(DEMO), description=EVIL)
    save_checkpoint(models / "plain.safetensors", load_file(DEMO), card)
    save_file(load_file(DEMO), models / f"name{EVIL[:-2]}.safetensors", metadata={"vasomim": "{}"})
    assert run(["models", *options]) == 0
    out = capsys.readouterr().out
    assert not CONTROLS & set(out)
    assert "\\u001b" in out
    if options:
        assert json.loads(out)["plain"]["description"] == EVIL


@pytest.mark.parametrize("options", [(), ("--debug",)])
def test_errors_that_name_a_file(tmp_path, capsys, options):
    name = tmp_path / f"{EVIL[:-2]}\nvasomim: all is well.png"
    assert run(["anatomy", str(name), "--output", str(tmp_path / "out"), *options]) == 1
    err = capsys.readouterr().err
    assert not CONTROLS & set(err)
    if not options:
        assert len(err.splitlines()) == 1

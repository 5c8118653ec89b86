"""Choosing a model: which are offered, what a file is called, and that nothing is chosen without a word."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_vasomim.widgets.model_choice import FILE, ModelChoice
from vasomim_core.models.catalogue import ENCODER, SEGMENTING, WEIGHTS

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings

DEMO = WEIGHTS / "vasomim-demo.safetensors"


@pytest.fixture
def choice(qtbot):
    made = ModelChoice(SEGMENTING, "a {kind}; finetune it first", "what for", none="none")
    qtbot.addWidget(made)
    made.told = []
    made.chosen.connect(made.told.append)
    made.fill("vasomim-fast")
    return made


def texts(choice):
    return [choice.itemText(row) for row in range(choice.count())]


def pick_file(choice, path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(path), ""))
    choice.setCurrentIndex(choice.findData(FILE))
    choice.activated.emit(choice.currentIndex())


def test_models_of_its_kinds_and_a_file_are_offered(choice):
    assert texts(choice) == ["none", "vasomim-base", "vasomim-demo", "vasomim-every", "vasomim-fast", FILE]
    assert choice.current == choice.currentData() == "vasomim-fast"
    assert choice.card.description in choice.words()
    assert "DSC" in choice.words()
    choice.use("")
    assert (choice.currentText(), choice.card, choice.words()) == ("none", None, "")
    assert choice.told == [""]  # not by `fill`


def test_files_stay_in_the_list_and_are_called_as_a_person_would(choice, tmp_path, monkeypatch):
    run = tmp_path / "left-coronary"
    run.mkdir()
    files = [shutil.copy(DEMO, run / "model.safetensors"), shutil.copy(DEMO, tmp_path / "mine.safetensors")]
    for file in files:
        pick_file(choice, file, monkeypatch)
        assert choice.currentData() == str(file)
    choice.fill("vasomim-demo")
    assert texts(choice)[-3:] == ["left-coronary", "mine", FILE]
    assert choice.told == list(map(str, files))
    files[0].unlink()
    choice.fill("vasomim-demo")
    assert texts(choice)[-3:] == ["vasomim-fast", "mine", FILE]


def test_what_cannot_be_used_is_told_and_the_choice_stays(choice, tmp_path, monkeypatch, notifications):
    (tmp_path / "text.safetensors").write_text("no model")
    for path, words in (
        (WEIGHTS / f"{ENCODER}.safetensors", "vasomim-encoder.safetensors is a autoencoder; finetune it first"),
        (tmp_path / "text.safetensors", "text.safetensors"),
        (tmp_path / "none", "does not exist"),
    ):
        pick_file(choice, path, monkeypatch)
        assert words in notifications.pop().message
        assert choice.currentData() == "vasomim-fast"
    pick_file(choice, "", monkeypatch)  # the dialog was closed
    assert choice.currentData() == "vasomim-fast"
    assert not notifications
    assert choice.told == []
    assert texts(choice)[-2:] == ["vasomim-fast", FILE]


def test_a_chosen_model_that_is_gone_is_still_named(choice):
    assert not choice.offers("gone")
    choice.fill("gone")
    assert (choice.currentText(), choice.current) == ("gone (missing)", "gone")
    assert choice.offers("vasomim-demo")

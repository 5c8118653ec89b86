"""Names and texts from label sets, models and files are shown as they are: nothing is marked up, nothing is loaded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import QLabel, QMessageBox, QTreeWidget, QWidget

from napari_vasomim import notify
from napari_vasomim.plain import Marked, confirmed, make_plain, message_box, plain_label, tooltip
from napari_vasomim.runs import jobs
from napari_vasomim.widgets.finetune import FinetunePanel
from napari_vasomim.widgets.label_set import LabelSetPanel
from napari_vasomim.widgets.mask_preview import MaskPreviewPanel
from napari_vasomim.widgets.workbench import PANELS
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.training.events import EventLog

HOSTILE = '<img src="elsewhere.png"> & <b>bold</b>'
PLAIN = Qt.TextFormat.PlainText


@pytest.fixture(autouse=True)
def _application(qapp):
    """Documents are laid out with the fonts of an application."""


class Document(QTextDocument):
    """What Qt makes of a text, and which pictures it asks for."""

    def __init__(self, text: str):
        super().__init__()
        self.asked: list[str] = []
        if Qt.mightBeRichText(text):
            self.setHtml(text)
        else:
            self.setPlainText(text)
        self.idealWidth()  # lays it out

    def loadResource(self, kind, name):
        self.asked.append(name.toString())
        return super().loadResource(kind, name)


def all_plain(*widgets: QWidget) -> list[QLabel]:
    """All labels, of which none guesses; those with markup say nothing that came from outside."""
    labels = [found for widget in widgets for found in widget.findChildren(QLabel)]
    guessing = [f"{found.text()!r}" for found in labels if found.textFormat() not in (PLAIN, Qt.TextFormat.RichText)]
    assert not guessing
    for found in labels:
        assert found.textFormat() == PLAIN or isinstance(found, Marked), found.text()
        assert not (isinstance(found, Marked) and "elsewhere" in found.text())
    return labels


def no_tooltip_loads(*widgets: QWidget) -> None:
    for widget in (child for top in widgets for child in [top, *top.findChildren(QWidget)]):
        texts = [widget.toolTip()]
        if isinstance(widget, QTreeWidget):
            items = [widget.topLevelItem(row) for row in range(widget.topLevelItemCount())]
            texts += [item.toolTip(column) for item in items for column in range(widget.columnCount())]
        for text in texts:
            assert Document(text).asked == [], text


def test_what_the_document_of_this_test_would_load():
    assert set(Document(HOSTILE).asked) == {"elsewhere.png"}


@pytest.mark.parametrize("kind", PANELS)
def test_every_label_of_every_panel_is_plain(model, beside, kind, still):
    model.add_image(still)
    panel = beside(model, kind)
    assert all_plain(panel)
    no_tooltip_loads(panel)


def test_a_hostile_label_set(model, beside, qtbot, still, tmp_path):
    labels = LabelSet.create(tmp_path / "<img src=elsewhere.png>", HOSTILE)
    for row in (5, 9):
        mask = np.zeros(still.shape, bool)
        mask[row, 5:50] = True
        labels.add(still, mask, group=HOSTILE, annotator=HOSTILE, model=HOSTILE + str(row), note=HOSTILE, id="a")
    (labels.folder / "records" / "<img src=elsewhere.png>.json").write_text(HOSTILE)
    model.add_image(still, name=HOSTILE)
    panel = beside(model, LabelSetPanel)
    panel.session.open_label_set(labels)
    qtbot.waitUntil(lambda: HOSTILE in panel.known.text())
    qtbot.waitUntil(lambda: "<img" in panel.set.trouble.text())
    qtbot.waitUntil(lambda: panel.history.table.topLevelItemCount() == 2)
    all_plain(panel)
    no_tooltip_loads(panel)
    assert HOSTILE[:5] in panel.set.name.text()
    shown = Document(panel.history.table.topLevelItem(0).toolTip(2)).toPlainText()
    assert shown == HOSTILE, "it is shown as it is, not dropped"


def test_a_hostile_run_and_folder(model, beside, qtbot, tmp_path):
    panel = beside(model, FinetunePanel)
    folder = tmp_path / "<img src=elsewhere.png>"
    folder.mkdir()
    panel.use_data(folder)
    run = folder / "<img src=elsewhere.png>"
    run.mkdir()
    (run / "config.yaml").write_text("job: finetune\n")
    log = EventLog(run)
    log.write("open", job="finetune", pid=1, processes=1)
    log.write("warning", message=HOSTILE)
    panel.view.show_run(jobs.attach(run))
    qtbot.waitUntil(lambda: HOSTILE in panel.view.warnings.text())
    assert "<img" in panel.view.state.text()
    qtbot.waitUntil(lambda: "✖" in panel.found.text())
    all_plain(panel)
    no_tooltip_loads(panel)


def test_a_question_is_plain(qtbot, monkeypatch):
    box = message_box(None, HOSTILE, HOSTILE, HOSTILE)
    qtbot.addWidget(box)
    assert box.textFormat() == PLAIN
    all_plain(box)
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "exec_", lambda asked: (all_plain(asked), answers.pop(0))[1])
    assert [confirmed(None, "Sure", HOSTILE) for _ in range(2)] == [False, True]


def test_labels_that_others_make_become_plain(qtbot):
    top = QWidget()
    qtbot.addWidget(top)
    made = QLabel(HOSTILE, top)
    make_plain(top)
    assert made.textFormat() == plain_label(HOSTILE).textFormat() == PLAIN


@pytest.mark.parametrize("text", [HOSTILE, "a & b", "1 < 2", "two\nlines <b>", "plain", ""])
def test_a_tooltip_shows_its_text(text):
    shown = Document(tooltip(text))
    assert shown.toPlainText() == text
    assert shown.asked == []


def test_napari_is_told_nothing_that_it_takes_for_html(viewer, notifications):
    """Its notification and its status line are labels that guess."""
    from vasomim_core.errors import InputError

    notify.inform(HOSTILE)
    notify.warn(HOSTILE)
    notify.report_error(InputError(HOSTILE))
    assert len(notifications) == 3
    for note in notifications:
        assert not Qt.mightBeRichText(note.message)
        assert Document(note.message).asked == []
        assert note.message.replace("\u2060", "") == HOSTILE


def test_a_hostile_model_card(model, beside, qtbot, still, models_folder):
    from safetensors.numpy import save_file

    from napari_vasomim.widgets.segment import SegmentPanel

    models_folder.mkdir()
    card = {
        "format": 1,
        "kind": "segmentation model",
        "architecture": HOSTILE,
        "preprocessing": {},
        "description": HOSTILE,
    }
    name = "<img src=elsewhere.png>"
    save_file({"x": np.zeros(1)}, models_folder / f"{name}.safetensors", {"vasomim": json.dumps(card)})
    model.add_image(still)
    panel = beside(model, SegmentPanel)
    panel.model.setCurrentIndex(panel.model.findData(name))
    all_plain(panel)
    no_tooltip_loads(panel)


def test_the_window_that_compares_is_plain(model, beside, still):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    panel.compare.click()
    assert all_plain(panel.comparison)
    no_tooltip_loads(panel.comparison)
    panel.comparison.close()

"""What a person enters into a form is what the run gets, for every setting of every job."""

from __future__ import annotations

import dataclasses
import functools
import gc
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QLabel, QMenu

from napari_vasomim.widgets import editors, forms
from napari_vasomim.widgets.editors import NumberBox
from napari_vasomim.widgets.forms import ConfigForm
from vasomim_core.config import (
    FinetuneConfig,
    PretrainConfig,
    SegmentorConfig,
    Training,
    Ui,
    fields,
    from_dict,
    to_dict,
)
from vasomim_core.errors import ConfigError

CONFIGS = [
    SegmentorConfig(data=Path("frames"), run=Path("runs/a")),
    PretrainConfig(data=Path("frames"), run=Path("runs/a")),
    FinetuneConfig(labels=Path("labels"), run=Path("runs/a")),
]


def leaves(config, prefix=""):
    # As the form has them: what is in a section of its own comes last.
    for name in sorted(fields(type(config)), key=lambda name: dataclasses.is_dataclass(getattr(config, name))):
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value, fields(type(config))[name][1]


def get(config, key):
    return functools.reduce(getattr, key.split("."), config)


def enter(qtbot, editor, ui=None):
    """Enter another value as a person would, whatever the editor."""
    if isinstance(editor, editors.OptionalEditor):
        if not editor.check.isChecked():
            qtbot.keyClick(editor.check, Qt.Key.Key_Space)
        enter(qtbot, editor.editor, ui)
    elif isinstance(editor, editors.TupleEditor):
        for part in editor.editors:
            enter(qtbot, part, ui)
    elif isinstance(editor, NumberBox):
        number = editor.value()
        share = 0.37 if number < (ui.min + ui.max) / 2 else 0.13
        other = ui.min + share * (ui.max - ui.min)
        if isinstance(editor.get(), int):
            step = int(ui.step or 1)
            other = int(other) // step * step
        type_into(qtbot, editor.lineEdit(), str(other))
    elif isinstance(editor, editors.ChoiceBox):
        qtbot.keyClick(editor, Qt.Key.Key_Up if editor.currentIndex() else Qt.Key.Key_Down)
    elif isinstance(editor, editors.Flag):
        qtbot.keyClick(editor, Qt.Key.Key_Space)
    else:
        type_into(qtbot, editor.line, "another/path ")
        editor.line.insert("ö")  # the test keyboard has no such key


def type_into(qtbot, line, text):
    line.selectAll()
    qtbot.keyClick(line, Qt.Key.Key_Delete)
    qtbot.keyClicks(line, text)


def make(qtbot, config, **kwargs):
    form = ConfigForm(config, **kwargs)
    qtbot.addWidget(form)
    return form


def wheel(widget):
    at = QPointF(5, 5)
    event = QWheelEvent(
        at, at, QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: type(c).__name__)
def test_every_field_goes_from_the_form_into_the_run_file(qtbot, config):
    form = make(qtbot, config)
    for key, old, ui in leaves(config):
        enter(qtbot, form.editor(key), ui)
        entered = get(form.value(), key)
        assert entered != old, key
        assert type(entered) is type(old) or old is None or isinstance(old, Path), key
        assert entered == form.editor(key).get(), key
    text = yaml.safe_dump(to_dict(form.value()), allow_unicode=True)
    assert from_dict(type(config), yaml.safe_load(text)) == form.value()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: type(c).__name__)
def test_set_value_reaches_every_editor(qtbot, config):
    source = make(qtbot, config)
    for key, _, ui in leaves(config):
        enter(qtbot, source.editor(key), ui)
    form = make(qtbot, config)
    with qtbot.waitSignal(form.changed) as told:
        form.set_value(source.value())
    assert told.args == [source.value()]
    assert form.value() == source.value()
    for key, value, _ in leaves(source.value()):
        assert form.editor(key).get() == value, key


@given(st.one_of(st.floats(1e-30, 1e15), st.floats(-1e15, -1e-30), st.just(0.0)))
def test_a_number_is_shown_and_typed_without_loss(qapp, number):
    box = NumberBox(float, Ui(), 0.0)
    box.set(number)
    assert box.get() == number
    text = box.text()
    box.set(1.0)
    box.lineEdit().setText(text)
    assert box.get() == number


@pytest.mark.parametrize(
    ("value", "text"), [(1.5e-4, "1.5e-04"), (1e-8, "1e-08"), (3e-4, "3e-04"), (0.99999, "0.99999"), (0.0, "0.0")]
)
def test_small_numbers_are_readable(qtbot, value, text):
    form = make(qtbot, Training())
    box = form.editor("weight_decay")
    box.set(value)
    assert box.text() == text
    assert form.value().weight_decay == value


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "0,0001", ".0001"])
def test_what_people_type_for_a_number(qtbot, text):
    form = make(qtbot, Training())
    type_into(qtbot, form.editor("learning_rate").lineEdit(), text)
    assert form.value().learning_rate == 1e-4


def test_none_and_back(qtbot):
    form = make(qtbot, Training(clip=0.7))
    form.unfold()
    clip = form.editor("clip")
    qtbot.keyClick(clip.check, Qt.Key.Key_Space)
    assert form.value().clip is None
    assert not clip.editor.isVisibleTo(form)
    assert "unlimited" in {label.text() for label in clip.findChildren(QLabel) if label.isVisibleTo(form)}
    qtbot.keyClick(clip.check, Qt.Key.Key_Space)
    assert form.value().clip == 0.7


def test_out_of_range_is_said_under_the_field_and_is_no_value(qtbot):
    form = make(qtbot, CONFIGS[2])
    form.show()
    form.unfold()
    heard, values = [], []
    form.problem_changed.connect(heard.append)
    form.changed.connect(values.append)
    line = form.editor("training.warmup").lineEdit()
    type_into(qtbot, line, "7")
    with pytest.raises(ConfigError, match=r"training\.warmup is 7\.0; give a value from 0 to 0\.5"):
        form.value()
    shown = [label for label in form.findChildren(QLabel) if "warmup is 7" in label.text()]
    qtbot.waitUntil(shown[0].isVisible)
    type_into(qtbot, line, "0.2")
    assert form.value().training.warmup == 0.2
    assert not any("warmup is" in label.text() for label in form.findChildren(QLabel))
    assert any("warmup is 7" in sentence for sentence in heard)
    assert heard[-1] == ""
    assert values[-1] == form.value()


def test_half_a_number_is_no_value(qtbot):
    form = make(qtbot, Training())
    type_into(qtbot, form.editor("learning_rate").lineEdit(), "1e-")
    with pytest.raises(ConfigError, match=r"learning_rate is '1e-'; give a number"):
        form.value()
    type_into(qtbot, form.editor("epochs").lineEdit(), "2.5")
    qtbot.keyClick(form.editor("learning_rate"), Qt.Key.Key_Enter)
    assert form.editor("learning_rate").text() == "0.001"
    with pytest.raises(ConfigError, match=r"epochs is '2\.5'; give a whole number"):
        form.value()


def test_an_empty_path_is_no_value(qtbot):
    form = make(qtbot, CONFIGS[0])
    form.editor("data").line.clear()
    with pytest.raises(ConfigError, match="data is empty"):
        form.value()


def test_set_value_out_of_range_leaves_the_form(qtbot):
    form = make(qtbot, Training())
    with pytest.raises(ConfigError):
        form.set_value(Training(epochs=0))
    assert form.value() == Training()
    assert form.editor("epochs").get() == 100


def test_arrows_stay_in_range_and_in_decimal_steps(qtbot):
    form = make(qtbot, CONFIGS[2])
    rate, warmup, size = (form.editor(k) for k in ("training.learning_rate", "training.warmup", "input_size"))
    qtbot.keyClick(rate, Qt.Key.Key_Up)
    assert form.value().training.learning_rate == 0.00101
    warmup.stepBy(1000)
    assert form.value().training.warmup == 0.5
    size.stepBy(-1000)
    assert form.value().input_size == 32
    qtbot.keyClick(size, Qt.Key.Key_Up)
    assert form.value().input_size == 64


def test_browse(qtbot, monkeypatch, tmp_path):
    form = make(qtbot, CONFIGS[0])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    qtbot.mouseClick(form.editor("run").browse, Qt.MouseButton.LeftButton)
    assert form.value().run == tmp_path
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    qtbot.mouseClick(form.editor("run").browse, Qt.MouseButton.LeftButton)
    assert form.value().run == tmp_path
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "a.dcm"), ""))
    form.show()
    qtbot.mouseClick(form.editor("data").browse, Qt.MouseButton.LeftButton)
    menu = form.editor("data").browse.findChild(QMenu)
    menu.actions()[1].trigger()
    menu.close()
    assert form.value().data == tmp_path / "a.dcm"


def test_hidden_fields_keep_their_value(qtbot):
    config = dataclasses.replace(CONFIGS[2], training=Training(seed=7))
    form = make(qtbot, config, hidden=("run", "training"))
    enter(qtbot, form.editor("augment"))
    assert form.value() == dataclasses.replace(config, augment=False)
    with pytest.raises(KeyError):
        form.editor("training.seed")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: type(c).__name__)
def test_the_tab_key_goes_down_the_form_and_nothing_is_wider_than_a_panel(qtbot, config):
    form = make(qtbot, config)
    form.show()
    form.unfold()
    keys = [key for folded in (False, True) for key, _, ui in leaves(config) if ui.advanced == folded]
    owners = {form.editor(key): key for key in keys}
    order, widget = [], form
    while (widget := widget.nextInFocusChain()) is not form:
        parent = widget
        while parent is not None and parent not in owners:
            parent = parent.parentWidget()
        key = owners.get(parent)
        if key and order[-1:] != [key]:
            order.append(key)
    assert order == keys
    assert form.minimumSizeHint().width() <= 320


def test_help_lines_are_tooltips(qtbot):
    form = make(qtbot, CONFIGS[2])
    assert "largest norm of the gradient; unchecked = unlimited" in form.editor("training.clip").toolTip()
    for config in CONFIGS:
        assert set(forms.help_lines(type(config))) == set(fields(type(config)))


def test_the_wheel_changes_a_value_only_with_the_focus(qtbot):
    form = make(qtbot, Training())
    form.show()
    form.unfold()
    qtbot.waitExposed(form)
    box, choice = form.editor("epochs"), form.editor("schedule")
    assert isinstance(choice, QComboBox)
    wheel(box)
    wheel(choice)
    assert form.value() == Training()
    form.activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus)
    wheel(box)
    assert form.value().epochs == 101


def test_a_form_leaves_nothing_behind(qapp):
    def live() -> int:
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()
        return len(QApplication.allWidgets())

    def once() -> None:
        form = ConfigForm(Training(clip=1.0))
        form.editor("warmup").set(9)
        form.deleteLater()

    once()
    before = live()
    for _ in range(100):
        once()
    assert live() == before

"""Masking that can be trusted and compared: one mask for all views, numbers that the command repeats, A beside B."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image as Picture
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from safetensors import safe_open
from safetensors.numpy import save_file

from napari_vasomim._reader import read
from napari_vasomim.canvas import layers
from napari_vasomim.widgets.mask_preview import MaskPreviewPanel
from vasomim_core.files import write_png
from vasomim_core.inference.requests import MaskPreview
from vasomim_core.masking.figures import on_pixels
from vasomim_core.models.catalogue import ENCODER

from ..mouse import click
from .test_mask_preview import settled, shown

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings


def wait_for(qtbot, panel):
    """All answers to what the panel says now."""
    qtbot.waitUntil(
        lambda: panel.asked() is not None and panel.answers.result(panel.asked()) is not None, timeout=60_000
    )
    return panel.result()


def choose_model(panel, path):
    panel.model.use(str(path))


def open_file(model, path):
    ((data, options, _),) = read(str(path))
    return model.add_image(data, **options)


@pytest.fixture(autouse=True)
def _nothing_unexpected(notifications):
    yield
    assert not [note.message for note in notifications if "unexpected" in note.message]


@pytest.fixture
def file(tmp_path, still):
    write_png(tmp_path / "in" / "x.png", still[:, :200])
    return tmp_path / "in" / "x.png"


def test_the_reconstruction_is_of_the_mask_on_the_canvas(model, beside, qtbot, still, pretrained):
    """From proportional to uniform with γ 0.9: I′ changes, and only where it is masked is the frame replaced."""
    image = model.add_image(still[:, :200])
    panel = beside(model, MaskPreviewPanel)
    choose_model(panel, pretrained)
    first = wait_for(qtbot, panel)
    before = shown(model, image, "reconstruction").copy()
    panel.schedule.sampler.setCurrentIndex(panel.schedule.sampler.findData("uniform"))
    panel.schedule.mask_ratio.setValue(0.9)
    result = wait_for(qtbot, panel)
    assert np.abs(shown(model, image, "reconstruction") - before).max() > 1
    assert (result.mask.masked != first.mask.masked).any()
    assert result.mask.masked.shape == (4, 4)  # the model's grid, on the canvas too
    np.testing.assert_array_equal(shown(model, image, "mask") > 0, on_pixels(result.mask.masked, (256, 200)))
    hidden = np.kron(result.mask.masked, np.ones((16, 16), bool))
    made = result.reconstruction
    np.testing.assert_array_equal(made.filled[~hidden], result.mask.image[~hidden])
    np.testing.assert_array_equal(made.filled[hidden], made.reconstruction[hidden])
    assert "L_rec" in panel.state.text()


def test_a_models_size_is_taken_and_can_be_set(model, beside, qtbot, still, pretrained):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    assert (panel.settings().input_size, panel.settings().patch_size) == (224, 16)
    panel.schedule.patch_size.setCurrentIndex(0)
    wait_for(qtbot, panel)
    choose_model(panel, pretrained)
    assert (panel.settings().input_size, panel.settings().patch_size) == (64, 16)
    assert wait_for(qtbot, panel).reconstruction.reconstruction.shape == (64, 64)
    panel.schedule.input_size.setValue(128)
    panel.schedule.co_guidance.setChecked(True)
    result = wait_for(qtbot, panel)
    assert result.reconstruction.reconstruction.shape == (128, 128)
    assert result.schedule.co_guidance
    assert (result.mask.f > 0).all()  # S is nowhere quite sure
    panel.model.setCurrentIndex(0)
    panel.model.activated.emit(0)
    assert (panel.settings().input_size, panel.settings().co_guidance) == (224, False)
    assert panel.schedule.patch_size.isEnabled()
    wait_for(qtbot, panel)


def set_up(panel, path):
    choose_model(panel, path)
    panel.schedule.sampler.setCurrentIndex(panel.schedule.sampler.findData("top-k"))
    panel.schedule.mask_ratio.setValue(0.75)
    panel.schedule.beta_end.setValue(0.9)
    panel.schedule.epochs.setValue(20)
    panel.epoch.setValue(7)
    panel.seed.setValue(3)


def same(one, other):
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_the_command_repeats_the_panels_numbers(
    model, beside, qtbot, file, tmp_path, pretrained, monkeypatch, notifications
):
    open_file(model, file)
    panel = beside(model, MaskPreviewPanel)
    set_up(panel, pretrained)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "panel.npz"), "NPZ (*.npz)"))
    click(qtbot, panel.export.numbers)
    assert "still being drawn" in notifications.pop().message
    wait_for(qtbot, panel)
    click(qtbot, panel.export.numbers)
    qtbot.waitUntil((tmp_path / "panel.npz").exists, timeout=20_000)
    options = ["--sampler=top-k", "--mask-ratio=0.75", "--beta-end=0.9", "--epochs=20", "--epoch=7", "--seed=3"]
    where = ["--output", str(tmp_path / "out"), "--model", str(pretrained)]
    command = [sys.executable, "-m", "vasomim_core", "mask", str(file), *where, *options]
    subprocess.run(command, check=True, capture_output=True)
    with np.load(tmp_path / "panel.npz") as mine, np.load(tmp_path / "out" / "x.npz") as commands:
        same(mine, commands)
        assert "reconstruction" in mine.files


# One process for all, as it is loading torch that takes time.
EACH = """
import os, runpy, sys
for script in sys.argv[1:]:
    os.chdir(os.path.dirname(script))
    runpy.run_path(script, run_name="__main__")
"""


def test_the_script_runs_as_it_is_and_gives_the_panels_arrays(
    beside, qtbot, file, still, tmp_path, pretrained, monkeypatch
):
    scripts, arrays = [], []
    for kind in ("file", "inverted", "no file"):
        folder = tmp_path / kind
        folder.mkdir()
        model = ViewerModel()
        if kind == "no file":
            model.add_image(still[:, :200] // 2)
            monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "kept"), ""))
        else:
            open_file(model, file)
        panel = beside(model, MaskPreviewPanel)
        if kind == "inverted":
            panel.session.set_bright_vessels(True)
        set_up(panel, pretrained)
        arrays.append(wait_for(qtbot, panel).arrays())
        QApplication.clipboard().setText("")
        click(qtbot, panel.export.python)
        qtbot.waitUntil(lambda: "mask_frame(" in QApplication.clipboard().text(), timeout=20_000)
        assert (tmp_path / "kept.png").exists() == (kind == "no file")
        scripts.append(folder / "script.py")
        scripts[-1].write_text(
            QApplication.clipboard().text() + "\nimport numpy\nnumpy.savez('out.npz', **result.arrays())\n"
        )
    subprocess.run([sys.executable, "-c", EACH, *scripts], check=True, capture_output=True, cwd=tmp_path)
    for script, expected in zip(scripts, arrays, strict=True):
        with np.load(script.parent / "out.npz") as found:
            same(dict(found), expected)
    assert not all(np.array_equal(a, b) for a, b in zip(arrays[0].values(), arrays[1].values(), strict=True))


def test_tables_of_patches_and_epochs(model, beside, qtbot, still, tmp_path, monkeypatch):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    panel.schedule.epochs.setValue(9)
    result = wait_for(qtbot, panel)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "t"), "Tables (*.csv)"))
    click(qtbot, panel.export.numbers)
    qtbot.waitUntil((tmp_path / "t_curves.csv").exists, timeout=20_000)
    with open(tmp_path / "t.csv", newline="") as file:
        assert sum(int(row["masked"]) for row in csv.DictReader(file)) == result.mask.masked.sum()


def test_colour_bars_stand_beside_what_has_colours(model, beside, qtbot, still):
    image = model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    assert panel.legend.isVisible()
    panel.display.setCurrentIndex(panel.display.findText("masking ratio over all epochs"))
    settled(qtbot, panel)
    assert not panel.legend.isVisible()
    for role in ("distribution", "masking ratio"):
        assert layers.find(model, role, image).colorbar.visible


def compared(qtbot, panel):
    window = panel.comparison

    def there():
        a = panel.asked()
        return a is not None and None not in (window._of_a.result(a), window._of_b.result(window._b(a)))

    qtbot.waitUntil(there, timeout=60_000)
    return window.results().values()


def test_two_schedules_side_by_side(model, beside, qtbot, still, pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: pytest.fail("nothing is to be saved"))
    model.add_image(still[:, :200])
    panel = beside(model, MaskPreviewPanel)
    panel.schedule.epochs.setValue(40)
    click(qtbot, panel.compare)
    window = panel.comparison
    a, b = compared(qtbot, panel)
    assert (a.schedule.sampler, b.schedule.sampler) == ("anatomy", "uniform")
    assert a.over_epochs.vessel_patches[-1] > b.over_epochs.vessel_patches[-1] + 0.2
    window.sampler.setCurrentIndex(window.sampler.findData("top-k"))
    window.mask_ratio.setValue(0.8)
    window.beta_start.setValue(0.3)
    window.beta_end.setValue(1.0)
    panel.seed.setValue(6)  # what B does not set follows the panel
    a, b = compared(qtbot, panel)
    assert (b.schedule.sampler, b.schedule.mask_ratio) == ("top-k", 0.8)
    assert (b.schedule.beta_start, b.schedule.beta_end) == (0.3, 1.0)
    assert a.schedule.seed == b.schedule.seed == 6
    np.testing.assert_array_equal(a.mask.f, b.mask.f)
    assert all(window.pictures[view, which].has_picture() for view in ("mask", "ratio") for which in "AB")
    assert not window.pictures["drawn", "A"].isVisible()
    choose_model(panel, pretrained)
    a, b = compared(qtbot, panel)
    assert window.pictures["drawn", "B"].has_picture()
    assert np.abs(a.reconstruction.reconstruction - b.reconstruction.reconstruction).max() > 1
    for which, result in zip("AB", (a, b), strict=True):
        line = window.curves._lines[which, "vessel_patches"].getData()
        np.testing.assert_allclose(line, (result.over_epochs.epochs, result.over_epochs.vessel_patches))
    window.save_figure(tmp_path / "ab.png")
    qtbot.waitUntil((tmp_path / "ab.png").exists, timeout=20_000)
    with Picture.open(tmp_path / "ab.png") as figure:
        assert figure.width > figure.height > 600
    window.mask_ratio.setFocus()
    qtbot.keyClick(window.mask_ratio, Qt.Key.Key_Return)  # takes the number, and asks for no file
    window.close()
    panel.seed.setValue(7)
    wait_for(qtbot, panel)
    assert window._of_b.get(MaskPreview, window._b(panel.asked())) is None  # nobody looks


def test_what_other_methods_mask_beside_a_schedule(model, beside, qtbot, still, of_others, tmp_path, notifications):
    model.add_image(still[:, :200])
    panel = beside(model, MaskPreviewPanel)
    panel.schedule.epochs.setValue(10)
    click(qtbot, panel.compare)
    window = panel.comparison
    window.by.use(str(of_others / "amt.safetensors"))
    a, b = compared(qtbot, panel)
    assert (a.guide, b.guide, b.by) == ("", "amt", "attention")
    assert (b.mask.masked.sum(), b.mask.thrown.sum()) == (7, 6)  # of its own 16 patches, by its own ratios
    assert a.mask.masked.sum() == 98
    assert not window.mask_ratio.isVisible()
    assert window.pictures["drawn", "B"].has_picture()
    assert window.titles["drawn", "B"].text() == "B: attention"
    assert "thrown away" in window.state.text()
    window.save_figure(tmp_path / "ab.png")
    qtbot.waitUntil((tmp_path / "ab.png").exists, timeout=20_000)
    window.by.use(str(of_others / "deblurring.safetensors"))
    assert "AMT or HPM" in notifications.pop().message
    assert window.by.currentText() == "amt"
    window.by.use(str(of_others / "hpm.safetensors"))
    panel.epoch.setValue(3)
    _, b = compared(qtbot, panel)
    assert (b.guide, b.by, b.mask.guided.sum()) == ("hpm", "predicted loss", int(12 * 0.2))
    assert "thrown away" not in window.state.text()
    window.by.use("")
    _, b = compared(qtbot, panel)
    assert (b.guide, b.schedule.patch_size, b.mask.masked.size) == ("", 16, 196)
    assert window.mask_ratio.isVisible()
    assert not window.pictures["drawn", "B"].isVisible()
    window.close()


def test_an_encoder_without_what_chooses_is_said_once(model, beside, qtbot, still, of_others, tmp_path, notifications):
    """A file of HPM as earlier versions have written them: nothing of it but the encoder."""
    broken = tmp_path / "old.safetensors"
    with safe_open(of_others / "hpm.safetensors", framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith("guide.")}  # noqa: SIM118
        save_file(tensors, broken, metadata=file.metadata())
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    click(qtbot, panel.compare)
    panel.comparison.by.use(str(broken))
    qtbot.waitUntil(lambda: bool(notifications), timeout=60_000)
    assert "earlier versions" in notifications.pop().message
    assert panel.comparison.by.current == ""
    panel.epoch.setValue(3)
    compared(qtbot, panel)
    panel.comparison.close()


def test_the_numbers_of_a_comparison(model, beside, qtbot, still, tmp_path, monkeypatch, notifications):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    panel.schedule.epochs.setValue(9)
    click(qtbot, panel.compare)
    paths = iter([str(tmp_path / "ab.npz"), str(tmp_path / "ab.npz"), str(tmp_path / "ab.csv")])
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (next(paths), ""))
    click(qtbot, panel.comparison.numbers)
    assert "still being drawn" in notifications.pop().message
    a, b = compared(qtbot, panel)
    for written in ("ab.npz", "ab_curves.csv"):
        click(qtbot, panel.comparison.numbers)
        qtbot.waitUntil((tmp_path / written).exists, timeout=20_000)
    with np.load(tmp_path / "ab.npz") as arrays:
        np.testing.assert_array_equal(arrays["masked_a"], a.mask.masked)
        np.testing.assert_array_equal(arrays["masking_ratio_b"], b.over_epochs.masking_ratio)
    with open(tmp_path / "ab_curves.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert np.float32(last["vessel_patches_b"]) == b.over_epochs.vessel_patches[-1]


def test_the_comparison_closes_with_its_angiogram(model, beside, qtbot, still):
    image = model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    click(qtbot, panel.compare)
    compared(qtbot, panel)
    model.layers.remove(image)
    assert not panel.comparison.isVisible()


def test_without_an_angiogram_there_is_nothing_to_compare_or_copy(model, beside, qtbot, notifications):
    panel = beside(model, MaskPreviewPanel)
    for press in (panel.compare, panel.export.numbers, panel.export.python):
        assert not press.isEnabled()
    for press in (panel.compare, panel.export.python):
        press.clicked.emit()
        assert "No angiogram is open" in notifications.pop().message


def test_a_frame_without_vessels_can_be_compared(model, beside, qtbot):
    model.add_image(np.full((64, 64), 90, np.uint8))
    panel = beside(model, MaskPreviewPanel)
    click(qtbot, panel.compare)
    a, _ = compared(qtbot, panel)
    assert np.isnan(a.over_epochs.vessel_patches).all()
    panel.comparison.close()


def test_the_packaged_encoder_is_seen_at_its_own_size(model, beside, qtbot, still):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    panel.display.setCurrentIndex(panel.display.findText("masked patches drawn"))
    assert panel.model.currentText() == ENCODER
    assert wait_for(qtbot, panel).mask.image.shape == (192, 192)

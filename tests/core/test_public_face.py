"""`import vasomim_core as vm`: cheap to import, and all there."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

import vasomim_core as vm
from vasomim_core.models.catalogue import WEIGHTS

SLOW = ("torch", "monai", "timm", "cv2", "skimage", "scipy", "matplotlib", "pydicom")


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_it_loads_nothing_that_is_slow():
    assert run(f"import json, sys, vasomim_core; print(json.dumps([m for m in {SLOW} if m in sys.modules]))") == []


def test_a_frame_and_its_anatomy_need_no_torch():
    code = "vm.read_angiogram, vm.sato, vm.frangi, vm.extract_anatomy, vm.LabelSet, vm.open_labels, vm.FinetuneConfig"
    assert (
        run(f"import json, sys, vasomim_core as vm; {code}; print(json.dumps(['torch'] * ('torch' in sys.modules)))")
        == []
    )


@pytest.mark.parametrize("name", vm.__all__)
def test_every_name_is_there_and_says_what_it_is(name):
    assert inspect.getdoc(getattr(vm, name))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="predict_all"):
        vm.predict_all  # noqa: B018


def test_from_a_frame_to_a_mask_in_a_notebook():
    still = vm.synthesize(3, size=128)
    anatomy = vm.extract_anatomy(still.frame)
    f = vm.vascular_distribution(anatomy, 16)
    assert f.shape == (1, 64)
    assert f.sum() == pytest.approx(1)
    expected = anatomy.reshape(8, 16, 8, 16).sum((1, 3)).ravel() / anatomy.sum()
    np.testing.assert_allclose(f[0], expected, atol=1e-6)
    mask = vm.sample_mask(f, mask_ratio=0.5, beta=0.5)
    assert mask.sum() == 32
    assert {type(f), type(mask)} == {np.ndarray}
    assert 0 < vm.dsc(anatomy, still.mask) <= 1


def test_a_frame_of_any_size_is_masked():
    frame = vm.synthesize(3, size=(101, 157)).frame
    with pytest.raises(vm.VasoMIMError, match="mask_frame"):
        vm.vascular_distribution(vm.extract_anatomy(frame), 16)
    result = vm.mask_frame(frame)
    last = vm.mask_frame(frame, vm.MaskingSchedule(), epoch=199)
    np.testing.assert_array_equal(result.mask.masked, last.mask.masked)
    assert (result.mask.image.shape, result.mask.masked.shape, result.mask.beta) == ((224, 224), (14, 14), 0.5)
    with pytest.raises(vm.VasoMIMError, match="frame is float64"):
        vm.mask_frame(frame / 255)


def test_a_model_says_from_which_probability_on_it_sees_vessel():
    model = vm.load_model("vasomim-fast")
    assert model.threshold == model.card.preprocessing.threshold != 0.5


def test_an_overlay_is_of_a_mask():
    frame, mask = np.full((4, 4), 100, np.uint8), np.eye(4, dtype=bool)
    tinted = vm.overlay(frame, mask, (200, 0, 0))
    assert (tinted[~mask] == 100).all()
    assert (tinted[mask] == (155, 45, 45)).all()
    for wrong in (mask * 0.5, mask[:3]):
        with pytest.raises(vm.VasoMIMError, match="give bool"):
            vm.overlay(frame, wrong)


def test_a_model_of_a_run_has_the_name_of_the_run_and_says_in_a_line_what_it_is(tmp_path):
    run = tmp_path / "left coronary"
    run.mkdir()
    (run / "model.safetensors").write_bytes((WEIGHTS / "vasomim-demo.safetensors").read_bytes())
    by_run, by_file = vm.load_model(run, "cpu"), vm.load_model(run / "model.safetensors", "cpu")
    assert repr(by_run) == repr(by_file) == "Model(left coronary: unext, segmentation model, cpu, threshold 0.5)"
    assert by_run.name == by_file.name == "left coronary"
    assert vm.load_model("vasomim-demo").name == "vasomim-demo"


def test_a_folder_is_segmented_scored_and_told(tmp_path):
    vm.write_samples(tmp_path / "labelled", count=3, size=128)
    images = tmp_path / "labelled" / "images"
    (images / "cut.png").write_bytes(next(images.iterdir()).read_bytes()[:300])
    model, told = vm.load_model("vasomim-demo", "cpu"), []
    done = vm.segment_folder(images, tmp_path / "masks", model, progress=lambda *frames: told.append(frames))
    assert [path.parent for path in done.written] == [tmp_path / "masks"] * 3
    assert (done.frames, done.model, done.device) == (3, "vasomim-demo", "cpu")
    assert len(done.failed) == 1
    assert "cut.png" in done.failed[0]
    assert [frames for frames, _ in told] == [1, 2, 3]
    assert vm.evaluate(tmp_path / "masks", tmp_path / "labelled").mean["dsc"] > 0.3
    frame = vm.read_angiogram(images / done.written[0].name).grey(0)
    mask = vm.read_angiogram(done.written[0]).grey(0) > 0
    np.testing.assert_array_equal(mask, model.predict(frame) >= model.threshold)
    with pytest.raises(vm.VasoMIMError, match="cut"):
        vm.segment_folder(str(images), str(tmp_path / "again"), "vasomim-demo", strict=True)
    with pytest.raises(vm.VasoMIMError, match="threshold is 2"):
        vm.segment_folder(images, tmp_path / "again", model, threshold=2)


def test_a_segmented_folder_says_where_vessels_may_be_bright(tmp_path):
    vm.write_samples(tmp_path, count=1, size=128)
    frames = [*tmp_path.glob("images/*")]
    assert vm.segment_folder(frames, tmp_path / "a", "vasomim-demo").with_little_vessel == 0
    assert vm.segment_folder(frames, tmp_path / "b", "vasomim-demo", threshold=1).with_little_vessel == 1

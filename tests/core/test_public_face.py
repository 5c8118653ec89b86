"""`import vasomim_core as vm`: cheap to import, and all there."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

import vasomim_core as vm

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
    assert f.sum().item() == pytest.approx(1)
    expected = anatomy.reshape(8, 16, 8, 16).sum((1, 3)).ravel() / anatomy.sum()
    np.testing.assert_allclose(f[0], expected, atol=1e-6)
    mask = vm.sample_mask(f, mask_ratio=0.5, beta=0.5)
    assert mask.sum().item() == 32
    assert 0 < vm.dsc(anatomy, still.mask) <= 1


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

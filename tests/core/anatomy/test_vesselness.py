from __future__ import annotations

import numpy as np
import pytest
import skimage.filters
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vasomim_core.anatomy import frangi, sato
from vasomim_core.errors import ConfigError, InputError

SIGMAS = (1, 2, 3, 4)
INSIDE = np.s_[20:-20, 20:-20]
BOTH = pytest.mark.parametrize("vesselness", [sato, frangi])


def bar(width: int = 5, shape: tuple[int, int] = (96, 80)) -> np.ndarray:
    """A dark vertical bar of a given width on noise-free ground."""
    image = np.full(shape, 200, np.uint8)
    image[:, 40 - width // 2 : 40 + width // 2 + 1] = 80
    return image


def frames(arcade) -> list[np.ndarray]:
    paths = sorted((arcade / "val" / "images").glob("*.png"))[::90]
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (200, 150), np.uint8)
    # Beside lines with no noise at all, scikit-image's Frangi answers where |λ₁| < 1e-10, although λ₂ < 0.
    line = bar(shape=(128, 96)) + rng.normal(0, 1, (128, 96))
    return [np.array(Image.open(path).convert("L")) for path in paths] + [noise, line]


def test_sato_is_scikit_images(arcade):
    for image in frames(arcade):
        reference = skimage.filters.sato(image, sigmas=SIGMAS, black_ridges=True, mode="reflect")
        assert np.abs(sato(image, SIGMAS) - reference)[INSIDE].max() <= 1e-3 * reference.max()


def test_frangi_is_scikit_images(arcade):
    for image in frames(arcade):
        reference = skimage.filters.frangi(image, sigmas=SIGMAS, black_ridges=True, mode="reflect")
        off = np.abs(frangi(image, SIGMAS) - reference)[INSIDE] > 1e-3 * reference.max()
        assert off.mean() <= 1e-4


@pytest.mark.parametrize("shape", [(31, 17), (5, 40), (2, 9), (64, 64)])
@BOTH
def test_small_frames_agree_with_scikit_image_up_to_the_border(vesselness, shape):
    image = np.random.default_rng(1).normal(100, 20, shape)
    reference = getattr(skimage.filters, vesselness.__name__)(image, sigmas=(1.5, 3), mode="reflect")
    np.testing.assert_allclose(vesselness(image, (1.5, 3)), reference, atol=1e-3 * reference.max())


@BOTH
def test_torch_gives_the_same(vesselness):
    image = np.random.default_rng(2).integers(0, 256, (3, 31, 17), np.uint8)
    by_opencv, by_torch = vesselness(image), vesselness(image, device=torch.device("cpu"))
    np.testing.assert_allclose(by_torch, by_opencv, atol=1e-5 * by_opencv.max())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@BOTH
def test_cuda_gives_the_same(vesselness):
    image = np.random.default_rng(2).integers(0, 256, (128, 96), np.uint8)
    on_cpu, on_cuda = vesselness(image), vesselness(image, device="cuda")
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-5 * on_cpu.max())


@BOTH
def test_bright_ridges_are_the_dark_ones_of_the_negative(vesselness):
    bright, negative = vesselness(bar(), ridges="bright"), vesselness(-bar().astype(float))
    np.testing.assert_allclose(bright, negative, atol=1e-5 * negative.max())
    assert vesselness(bar())[48, 40] > 10 * vesselness(bar(), ridges="bright")[48, 40]


@BOTH
def test_the_response_peaks_on_the_centreline(vesselness):
    assert (vesselness(bar(), (3,))[20:-20].argmax(axis=1) == 40).all()


@given(st.integers(1, 8), st.floats(0.1, 50), st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_sato_scales_with_contrast_and_frangi_does_not(width, gain, offset):
    image = bar(width).astype(float)
    other = gain * image + offset
    np.testing.assert_allclose(sato(other), gain * sato(image), atol=1e-4 * gain * sato(image).max())
    np.testing.assert_allclose(frangi(other), frangi(image), atol=1e-3)


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int32, np.float16, np.float64])
@BOTH
def test_any_dtype_by_value(vesselness, dtype):
    image = bar().astype(dtype)
    out = vesselness(image)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, vesselness(image.astype(np.float32)))


@BOTH
def test_a_stack_is_its_frames(vesselness):
    stack = np.random.default_rng(3).integers(0, 256, (2, 2, 40, 30), np.uint8)
    out = vesselness(stack)
    assert out.shape == stack.shape
    np.testing.assert_array_equal(out[1, 0], vesselness(stack[1, 0]))


@BOTH
def test_a_flat_frame_gives_zeros(vesselness):
    for value in (0, 77, 65535):
        assert not vesselness(np.full((31, 17), value, np.uint16)).any()


def test_the_input_is_not_changed():
    image = np.random.default_rng(4).random((30, 30), np.float32)
    before = image.copy()
    frangi(image, ridges="bright")
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    "image",
    [np.zeros((0, 5)), np.zeros(5), np.full((9, 9), np.nan), np.full((9, 9), 1e300), np.zeros((9, 9), complex)],
)
@BOTH
def test_what_is_no_image_is_said_in_a_sentence(vesselness, image):
    with pytest.raises(InputError):
        vesselness(image)


@pytest.mark.parametrize(
    "wrong", [{"sigmas": ()}, {"sigmas": (0,)}, {"sigmas": (np.nan,)}, {"ridges": "grey"}, {"device": "toaster"}]
)
@BOTH
def test_settings_out_of_range(vesselness, wrong):
    with pytest.raises(ConfigError):
        vesselness(bar(), **wrong)


def test_frangis_constants_are_positive():
    for wrong in ({"beta": 0}, {"gamma": -1}):
        with pytest.raises(ConfigError):
            frangi(bar(), **wrong)

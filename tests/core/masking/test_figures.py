"""Pictures of guided masking: each pixel of a masked frame, what stands on which panel, and the GIF's times."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from tests.core.masking.made import drawn, mask, result
from vasomim_core.errors import InputError
from vasomim_core.figures import Panel, Plot
from vasomim_core.masking import figures

ORANGE, BLUE, RED = (255, 157, 60), (74, 134, 197), (226, 96, 79)


def tinted(grey, colour):
    return [int(0.45 * grey + 0.55 * c) for c in colour]


def test_a_pixel_has_the_value_of_the_patch_in_which_its_centre_lies():
    grid = np.array([[1, 2, 3]])
    assert figures.on_pixels(grid, (2, 6)).tolist() == [[1, 1, 2, 2, 3, 3]] * 2
    assert figures.on_pixels(grid, (1, 5)).tolist() == [[1, 1, 2, 3, 3]]
    assert figures.on_pixels(grid, (1, 8)).tolist() == [[1, 1, 1, 2, 2, 3, 3, 3]]
    assert figures.on_pixels(np.array([[1], [2]]), (4, 1)).ravel().tolist() == [1, 1, 2, 2]
    assert figures.on_pixels(np.zeros((2, 2, 3)), (4, 6)).shape == (4, 6, 3)


def test_patches_that_vessels_and_that_chance_have_masked_are_told_apart():
    assert figures.kinds(mask()).tolist() == [[1, 2], [0, 0]]
    shown = figures.picture(mask().image, mask())
    assert shown.dtype == np.uint8
    expected = np.full((64, 64, 3), 100)
    expected[:32, :32], expected[:32, 32:] = tinted(100, ORANGE), tinted(100, BLUE)
    assert_array_equal(shown, expected)
    larger = figures.picture(np.full((128, 192), 50, np.uint8), mask())
    assert larger[63, 95].tolist() == tinted(50, ORANGE)
    assert larger[63, 96].tolist() == tinted(50, BLUE)
    assert larger[64, 95].tolist() == [50, 50, 50]


@pytest.fixture
def saved(monkeypatch, tmp_path):
    """What a figure is made of: its panels by their titles, the columns, the words below."""
    calls = []
    monkeypatch.setattr(figures, "save_panels", lambda *call: calls.append(call))

    def save(write, *results):
        write(tmp_path / "x.png", *results)
        [(path, panels, columns, words)] = calls
        assert path == tmp_path / "x.png"
        calls.clear()
        return {panel.title: panel for panel in panels}, columns, words

    return save


WORDS = "64 px, patches of 32 px · γ = 0.5 · sampler anatomy · β from 0 to 0.5 in 200 epochs · seed 0 · robust anatomy"


def looks(panels):
    return {t: (p.colours, p.limits, p.bar) for t, p in panels.items() if isinstance(p, Panel)}


def test_the_figure_of_one_setting(saved):
    panels, columns, words = saved(figures.save_figure, result())
    own = {
        "frame at 64 px": (None, (0, 255), False),
        "anatomy": (None, None, False),
        "distribution f": ("inferno", None, True),
        "mask at epoch 1, β = 0.25": (None, None, False),
        "masking ratio": ("viridis", (0, 1), True),
    }
    assert looks(panels) == own
    assert (columns, words) == (5, WORDS)
    of = {title: panel.image for title, panel in panels.items()}
    assert_array_equal(of["frame at 64 px"], mask().image)
    assert of["anatomy"][3, 3].tolist() == tinted(100, RED)
    assert of["anatomy"][3, 4].tolist() == [100, 100, 100]
    assert_array_equal(of["distribution f"], mask().f)
    assert_array_equal(of["mask at epoch 1, β = 0.25"], figures.picture(mask().image, mask()))
    assert_array_equal(of["masking ratio"], result().over_epochs.masking_ratio)

    drawing = {
        "masked patches drawn": (None, (0, 255), False),
        "reconstruction I′, L_rec 0.125": (None, (0, 255), False),
    }
    panels, columns, words = saved(figures.save_figure, result(drawn(segmentor=False), "m", co_guidance=True))
    assert looks(panels) == own | drawing
    assert (columns, words) == (5, WORDS.replace("anatomy · β", "anatomy with co-guidance · β") + " · m")
    assert panels["masked patches drawn"].image[0, 0] == 95
    assert panels["reconstruction I′, L_rec 0.125"].image[0, 0] == 90

    again = {
        "S(I)": ("magma", (0, 1), True),
        "S(I′)": ("magma", (0, 1), True),
        "S(I′) − S(I), L_cons 0.062": ("PiYG", (-1, 1), True),
    }
    panels, columns, _ = saved(figures.save_figure, result(drawn(segmentor=True)))
    assert looks(panels) == own | drawing | again
    assert columns == 5
    assert [panels[title].image[0, 0] for title in again] == [0.25, 0.75, 0.5]


@pytest.mark.parametrize("model", [False, True])
def test_the_figure_of_two_settings(saved, model):
    a, b = (result(drawn(segmentor=False) if model else None, seed=seed) for seed in (0, 7))
    panels, columns, words = saved(figures.save_comparison, a, b)
    titles = list(panels)
    row = ["mask at epoch 1, β = 0.25", "masking ratio", *["masked patches drawn, L_rec 0.125"] * model]
    assert titles == [f"A: {title}" for title in row] + ["share masked"] + [f"B: {title}" for title in row]
    assert columns == (4 if model else 3)
    assert words == f"A: {WORDS}\nB: {WORDS.replace('seed 0', 'seed 7')}"
    for name in "AB":
        assert looks(panels)[f"{name}: masking ratio"] == ("viridis", (0, 1), True)
        if model:
            assert looks(panels)[f"{name}: masked patches drawn, L_rec 0.125"] == (None, (0, 255), False)


def test_curves_of_patches_are_full_and_those_of_pixels_dashed():
    plot = figures.curves(result(), result())
    assert isinstance(plot, Plot)
    assert (plot.title, plot.along, plot.limits) == ("share masked", "epoch", (0, 1))
    assert [(curve.name, curve.colour, curve.dashed, curve.x.tolist(), curve.y.tolist()) for curve in plot.curves] == [
        ("A: vessel patches", "#ff9d3c", False, [0, 1], [0.5, 0.75]),
        ("A: vessel pixels", "#ff9d3c", True, [0, 1], [0.25, 1]),
        ("B: vessel patches", "#4a86c5", False, [0, 1], [0.5, 0.75]),
        ("B: vessel pixels", "#4a86c5", True, [0, 1], [0.25, 1]),
    ]


def test_a_gif_shows_each_mask_once_rests_at_the_end_and_repeats(tmp_path):
    frame = np.full((600, 800), 100, np.uint8)
    figures.save_animation(tmp_path / "x.gif", frame, [mask(epoch) for epoch in (0, 1, 2)])
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.n_frames == 3
        assert gif.info["loop"] == 0
        assert gif.size == (512, 384)  # the longer side
        times, shown = [], []
        for index in range(3):
            gif.seek(index)
            times.append(gif.info["duration"])
            shown.append(np.asarray(gif.convert("RGB")).astype(int))
    assert times == [120, 120, 1500]
    written = []
    for rgb in shown:
        assert np.abs(rgb[100, 100] - tinted(100, ORANGE)).max() <= 4
        assert np.abs(rgb[100, 400] - tinted(100, BLUE)).max() <= 4
        assert np.abs(rgb[300, 100] - 100).max() <= 4
        rows, columns = np.nonzero(rgb.min(axis=2) > 230)  # the white letters
        assert 4 <= rows.min() < rows.max() <= 30
        assert 6 <= columns.min() <= 14
        assert rgb[rows.min() : rows.max(), 6 : columns.max()].max(axis=2).min() < 30  # on black
        written.append(rgb[:40])
    assert (written[0] != written[1]).any()


def test_no_more_colours_than_a_gif_holds_are_lost(tmp_path):
    """A ramp of all grey levels comes out in at least a hundred of them."""
    frame = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    figures.save_animation(tmp_path / "x.gif", frame, [mask()])
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.size == (256, 256)
        assert getattr(gif, "n_frames", 1) == 1
        assert gif.info["duration"] == 1500
        bottom = np.asarray(gif.convert("RGB"))[128:].astype(int)
        assert np.abs(bottom - frame[128:, :, None]).max() <= 16


@pytest.mark.parametrize(
    "write",
    [
        lambda path: figures.save_figure(path, result()),
        lambda path: figures.save_comparison(path, result(), result()),
        lambda path: figures.save_animation(path, mask().image, [mask()]),
    ],
)
def test_what_cannot_be_written_is_said_in_a_sentence(tmp_path, write):
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(InputError, match=r"x\.png cannot be written .*; choose another folder\."):
        write(tmp_path / "taken" / "x.png")

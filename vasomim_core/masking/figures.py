"""Pictures of guided masking to keep: a figure with its settings, two settings side by side, the schedule as a GIF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from vasomim_core.figures import Curve, Panel, Plot, overlay, save_panels
from vasomim_core.files import atomic
from vasomim_core.masking.results import Mask, MaskingResult, cannot_write
from vasomim_core.masking.schedule import MaskingSchedule

GUIDED, BY_CHANCE, THROWN, ANATOMY = "#ff9d3c", "#4a86c5", "#b04fc4", "#e2604f"
"""Colours of a patch that is masked for its vessels, by chance, or thrown away, and of the vessels."""
GIF_MS = 120
GIF_SIDE = 512


def on_pixels(grid: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """A value per patch (rows, columns, …) as one per pixel (H, W, …): that of the patch in which its centre lies."""
    rows, columns = ((2 * np.arange(n) + 1) * count // (2 * n) for n, count in zip(size, grid.shape[:2], strict=True))
    return np.ascontiguousarray(grid[rows][:, columns])


def kinds(mask: Mask) -> NDArray[np.uint8]:
    """Per patch: 0 = visible, 1 = masked for its vessels, 2 = masked by chance, 3 = thrown away."""
    thrown = 0 if mask.thrown is None else np.where(mask.thrown, 3, 0)
    return np.where(mask.guided, 1, np.where(mask.masked, 2, thrown)).astype(np.uint8)


def picture(frame: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """A frame (H, W) under its masked patches in their colours, uint8 (H, W, 3)."""
    shown = on_pixels(kinds(mask), (frame.shape[0], frame.shape[1]))
    rgb = np.repeat(frame[..., None], 3, axis=2)
    for kind, colour in ((1, GUIDED), (2, BY_CHANCE), (3, THROWN)):
        rgb[shown == kind] = overlay(frame, shown == kind, ImageColor.getrgb(colour)[:3])[shown == kind]
    return rgb


def save_figure(path: Path, result: MaskingResult) -> None:
    """Write one PNG: frame, anatomy, f, one sampled mask, the masking ratio, and what a model made of it.

    Raises:
        InputError: the file cannot be written.
    """
    mask, made = result.mask, result.reconstruction
    panels: list[Panel | Plot] = [
        Panel(f"frame at {result.schedule.input_size} px", mask.image, limits=(0, 255)),
        Panel("anatomy", overlay(mask.image, mask.anatomy, ImageColor.getrgb(ANATOMY)[:3])),
        Panel(result.by or "distribution f", mask.f, colours="inferno", bar=True),
        Panel(f"mask at epoch {mask.epoch}, β = {mask.beta:.2f}", picture(mask.image, mask)),
        Panel("masking ratio", result.over_epochs.masking_ratio, colours="viridis", limits=(0, 1), bar=True),
    ]
    if made is not None:
        panels += [
            Panel("masked patches drawn", made.filled, limits=(0, 255)),
            Panel(f"reconstruction I′, L_rec {made.l_rec:.3f}", made.reconstruction, limits=(0, 255)),
        ]
        if made.vessels is not None and made.vessels_again is not None and made.difference is not None:
            panels += [
                Panel("S(I)", made.vessels, "magma", (0, 1), bar=True),
                Panel("S(I′)", made.vessels_again, "magma", (0, 1), bar=True),
                Panel(f"S(I′) − S(I), L_cons {made.l_cons:.3f}", made.difference, "PiYG", (-1, 1), bar=True),
            ]
    _save_panels(path, panels, min(5, len(panels)), caption(result))


def save_comparison(path: Path, a: MaskingResult, b: MaskingResult) -> None:
    """Write one PNG of two settings side by side: masks, masking ratios, curves, and reconstructions by a model.

    Raises:
        InputError: the file cannot be written.
    """
    panels: list[Panel | Plot] = []
    by_network = bool(a.by or b.by)
    for name, result in (("A", a), ("B", b)):
        mask, ratio, made = result.mask, result.over_epochs.masking_ratio, result.reconstruction
        panels.append(Panel(f"{name}: mask at epoch {mask.epoch}, β = {mask.beta:.2f}", picture(mask.image, mask)))
        panels.append(Panel(f"{name}: masking ratio", ratio, colours="viridis", limits=(0, 1), bar=True))
        if by_network:
            panels.append(Panel(f"{name}: {result.by or 'distribution f'}", mask.f, colours="inferno", bar=True))
        elif made is not None:
            panels.append(Panel(f"{name}: masked patches drawn, L_rec {made.l_rec:.3f}", made.filled, limits=(0, 255)))
        if result is a:
            panels.append(curves(a, b))
    _save_panels(path, panels, -(-len(panels) // 2), f"A: {caption(a)}\nB: {caption(b)}")


def curves(a: MaskingResult, b: MaskingResult) -> Plot:
    """How much of the vessels is masked over the epochs: patches in full lines, pixels dashed."""
    lines = []
    for name, colour, result in (("A", GUIDED, a), ("B", BY_CHANCE, b)):
        over = result.over_epochs
        lines.append(Curve(f"{name}: vessel patches", over.epochs, over.vessel_patches, colour))
        lines.append(Curve(f"{name}: vessel pixels", over.epochs, over.vessel_pixels, colour, dashed=True))
    return Plot("share masked", lines, "epoch", (0, 1))


def caption(result: MaskingResult) -> str:
    """The settings in one line."""
    by = f" · {result.model}" if result.model else ""
    if result.guide:
        return by_guide(result.schedule, result.guide, result.by)
    return f"{in_words(result.schedule)} · {result.anatomy} anatomy{by}"


def in_words(schedule: MaskingSchedule) -> str:
    """A schedule in one line."""
    return (
        f"{schedule.input_size} px, patches of {schedule.patch_size} px · γ = {schedule.mask_ratio:g} · "
        f"sampler {schedule.sampler}{' with co-guidance' if schedule.co_guidance else ''} · "
        f"β from {schedule.beta_start:g} to {schedule.beta_end:g} in {schedule.epochs} epochs · seed {schedule.seed}"
    )


def by_guide(schedule: MaskingSchedule, guide: str, by: str) -> str:
    """The masks of another method in one line: who chooses by what, and what of a schedule counts."""
    return (
        f"{by} of {guide} · {schedule.input_size} px, patches of {schedule.patch_size} px · "
        f"{schedule.epochs} epochs · seed {schedule.seed}"
    )


def save_animation(path: Path, frame: NDArray[np.uint8], masks: Sequence[Mask]) -> None:
    """Write masks of a frame (H, W), epoch by epoch, as a GIF that repeats.

    Raises:
        InputError: the file cannot be written.
    """
    frames = []
    for mask in masks:
        image = Image.fromarray(picture(frame, mask))
        image.thumbnail((GIF_SIDE, GIF_SIDE))
        ImageDraw.Draw(image).text((8, 6), f"epoch {mask.epoch}   β = {mask.beta:.2f}", fill="white", stroke_width=2,
                                   stroke_fill="black", font_size=18)  # fmt: skip
        frames.append(image.quantize(128))
    try:
        with atomic(path) as temporary, open(temporary, "wb") as file:
            frames[0].save(
                file, format="GIF", save_all=True, append_images=frames[1:],
                duration=[GIF_MS] * (len(frames) - 1) + [1500], loop=0,
            )  # fmt: skip
    except OSError as error:
        raise cannot_write(path, error) from error


def _save_panels(path: Path, panels: Sequence[Panel | Plot], columns: int, words: str) -> None:
    try:
        save_panels(path, panels, columns, words)
    except OSError as error:
        raise cannot_write(path, error) from error

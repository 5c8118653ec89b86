"""Pictures of guided masking to keep: a figure with its settings, and the schedule as an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from napari_vasomim.layers import BY_CHANCE, COLOURS
from vasomim_core.figures import Panel, overlay, save_panels
from vasomim_core.files import atomic

GIF_MS = 120
GIF_SIDE = 512


@dataclass(frozen=True)
class Masking:
    """The settings of a schedule; the names are those of the paper and of `PretrainConfig`.

    Attributes:
        patch_size: side of a patch in px.
        mask_ratio: γ, the share of patches that is masked.
        sampler: "anatomy", "top-k" or "uniform".
        beta_start: β_0.
        beta_end: β_E.
        epochs: E.
        seed: of the draw.
    """

    patch_size: int = 16
    mask_ratio: float = 0.5
    sampler: str = "anatomy"
    beta_start: float = 0.0
    beta_end: float = 0.5
    epochs: int = 800
    seed: int = 0

    def caption(self) -> str:
        """One line for a figure."""
        return (
            f"patch {self.patch_size} px · γ = {self.mask_ratio:g} · {self.sampler} · "
            f"β from {self.beta_start:g} to {self.beta_end:g} in {self.epochs} epochs · seed {self.seed}"
        )


def on_pixels(grid: NDArray[Any], patch_size: int, size: tuple[int, int]) -> NDArray[Any]:
    """A value per patch (rows, columns) as a value per pixel (H, W); patches over the edge are cut off."""
    large = np.repeat(np.repeat(grid, patch_size, axis=0), patch_size, axis=1)
    return np.ascontiguousarray(large[: size[0], : size[1]])


def kinds(guided: NDArray[np.bool_], masked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """0 = visible, 1 = masked for its vessels, 2 = masked by chance."""
    return np.where(guided, 1, np.where(masked, 2, 0)).astype(np.uint8)


def picture(frame: NDArray[np.uint8], shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame (H, W) under its masked patches (H, W) in two colours, uint8 (H, W, 3)."""
    rgb = np.repeat(frame[..., None], 3, axis=2)
    for kind, colour in ((1, COLOURS["mask"]), (2, BY_CHANCE)):
        rgb[shown == kind] = overlay(frame, shown == kind, ImageColor.getrgb(colour)[:3])[shown == kind]
    return rgb


def save_figure(
    path: Path,
    frame: NDArray[np.uint8],
    anatomy: NDArray[np.bool_],
    f: NDArray[np.float32],
    shown: NDArray[np.uint8],
    share: NDArray[np.float32],
    settings: Masking,
    epoch: int,
    beta: float,
    more: Sequence[Panel] = (),
) -> None:
    """Write one PNG: frame, anatomy, f, one sampled mask, the masking ratio, and what a model made of it.

    Args:
        path: of the PNG.
        frame: uint8 (H, W).
        anatomy: bool (H, W).
        f: vascular distribution (rows, columns).
        shown: `kinds` on pixels, (H, W).
        share: share of the epochs in which a patch is masked, (rows, columns), in [0, 1].
        settings: of the schedule.
        epoch: of the sampled mask.
        beta: β at that epoch.
        more: panels to append.
    """
    panels = [
        Panel("angiogram", frame, limits=(0, 255)),
        Panel("anatomy", overlay(frame, anatomy, ImageColor.getrgb(COLOURS["anatomy"])[:3])),
        Panel("distribution f", f, colours="inferno", bar=True),
        Panel(f"mask at epoch {epoch}, β = {beta:.2f}", picture(frame, shown)),
        Panel("masking ratio", share, colours="viridis", limits=(0, 1), bar=True),
        *more,
    ]
    save_panels(path, panels, columns=min(5, len(panels)), caption=settings.caption())


def save_animation(path: Path, pictures: Sequence[tuple[int, float, NDArray[np.uint8]]]) -> None:
    """Write the schedule as a GIF that repeats.

    Args:
        path: of the GIF.
        pictures: epoch, β and picture (H, W, 3) uint8 of each step.
    """
    frames = []
    for epoch, beta, rgb in pictures:
        image = Image.fromarray(rgb)
        image.thumbnail((GIF_SIDE, GIF_SIDE))
        ImageDraw.Draw(image).text((8, 6), f"epoch {epoch}   β = {beta:.2f}", fill="white", stroke_width=2,
                                   stroke_fill="black", font_size=18)  # fmt: skip
        frames.append(image.quantize(128))
    with atomic(path) as temporary, open(temporary, "wb") as file:
        frames[0].save(
            file, format="GIF", save_all=True, append_images=frames[1:], duration=[GIF_MS] * (len(frames) - 1) + [1500],
            loop=0,
        )  # fmt: skip

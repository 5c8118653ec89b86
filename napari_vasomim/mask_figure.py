"""Pictures of guided masking to keep: a figure with its settings, and the schedule as an animation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from napari_vasomim.layers import BY_CHANCE, COLOURS
from napari_vasomim.mask_answers import Asked
from vasomim_core.errors import InputError
from vasomim_core.figures import Panel, overlay, save_panels
from vasomim_core.files import atomic
from vasomim_core.masking_schedule import MaskingSchedule

GIF_MS = 120
GIF_SIDE = 512


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
    path: Path, asked: Asked, mask: dict[str, Any], share: NDArray[np.float32], drawn: dict[str, Any] | None = None
) -> None:
    """Write one PNG: frame, anatomy, f, one sampled mask, the masking ratio, and what a model made of it.

    Args:
        path: of the PNG.
        asked: the frame with its vessels, and the settings.
        mask: the answer to "mask_preview".
        share: share of the epochs in which a patch is masked, (rows, columns), in [0, 1].
        drawn: the answer to "reconstruct"; None without a model.

    Raises:
        InputError: the file cannot be written.
    """
    frame, anatomy, patch_size = asked.vessels.frame, asked.vessels.anatomy, asked.schedule.patch_size
    shown = on_pixels(kinds(mask["guided"], mask["masked"]), patch_size, frame.shape)
    panels = [
        Panel("angiogram", frame, limits=(0, 255)),
        Panel("anatomy", overlay(frame, anatomy, ImageColor.getrgb(COLOURS["anatomy"])[:3])),
        Panel("distribution f", mask["f"], colours="inferno", bar=True),
        Panel(f"mask at epoch {asked.epoch}, β = {mask['beta']:.2f}", picture(frame, shown)),
        Panel("masking ratio", share, colours="viridis", limits=(0, 1), bar=True),
    ]
    if drawn is not None:
        panels.append(Panel("reconstruction I′", drawn["drawn"], limits=(0, 255)))
        if drawn.get("view") is not None:
            seen, again = drawn["view"], drawn["view_of_drawn"]
            panels += [
                Panel("S(I)", seen, "magma", (0, 1), bar=True),
                Panel("S(I′)", again, "magma", (0, 1), bar=True),
                Panel("S(I′) − S(I)", again - seen, "PiYG", (-1, 1), bar=True),
            ]
    with _in_words(path):
        save_panels(path, panels, columns=min(5, len(panels)), caption=caption(asked.schedule))


def caption(schedule: MaskingSchedule) -> str:
    """The settings in one line."""
    return (
        f"patch {schedule.patch_size} px · γ = {schedule.mask_ratio:g} · {schedule.sampler} · "
        f"β from {schedule.beta_start:g} to {schedule.beta_end:g} in {schedule.epochs} epochs · seed {schedule.seed}"
    )


def save_animation(path: Path, pictures: Sequence[tuple[int, float, NDArray[np.uint8]]]) -> None:
    """Write the schedule as a GIF that repeats.

    Args:
        path: of the GIF.
        pictures: epoch, β and picture (H, W, 3) uint8 of each step.

    Raises:
        InputError: the file cannot be written.
    """
    frames = []
    for epoch, beta, rgb in pictures:
        image = Image.fromarray(rgb)
        image.thumbnail((GIF_SIDE, GIF_SIDE))
        ImageDraw.Draw(image).text((8, 6), f"epoch {epoch}   β = {beta:.2f}", fill="white", stroke_width=2,
                                   stroke_fill="black", font_size=18)  # fmt: skip
        frames.append(image.quantize(128))
    with _in_words(path), atomic(path) as temporary, open(temporary, "wb") as file:
        frames[0].save(
            file, format="GIF", save_all=True, append_images=frames[1:], duration=[GIF_MS] * (len(frames) - 1) + [1500],
            loop=0,
        )  # fmt: skip


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """A file that cannot be written becomes a sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path.name} cannot be written ({reason}); choose another folder.") from error

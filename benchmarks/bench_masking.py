"""The vectorised guided draw against a loop that draws each image's patches with `torch.multinomial`."""

from __future__ import annotations

import torch
from timing import compare, smallest

from vasomim_core.masking.sampling import masked_count, sample_mask
from vasomim_core.masking.schedule import guidance_strength

BATCH, PATCHES, RATIO = 256, 196, 0.5


def per_sample(f: torch.Tensor, beta: float) -> torch.Tensor:
    """The same law, image by image: a proportional draw, then a uniform one from the patches left."""
    masked = masked_count(PATCHES, RATIO)
    mask = torch.zeros(f.shape, dtype=torch.bool)
    for row, weights in zip(mask, f, strict=True):
        guided = min(int(beta * masked), int((weights > 0).sum()))
        if guided:
            row[torch.multinomial(weights, guided)] = True
        row[torch.multinomial((~row).float(), masked - guided)] = True
    return mask


def main() -> None:
    repeats = 1 if smallest(__doc__) else 7
    generator = torch.Generator().manual_seed(0)
    f = torch.rand(BATCH, PATCHES, generator=generator) * (torch.rand(BATCH, PATCHES, generator=generator) > 0.7)
    f /= f.sum(1, keepdim=True)
    beta = guidance_strength(49, 100)
    compare(
        f"guided draw, {BATCH} × {PATCHES} patches",
        ("vectorised", lambda: sample_mask(f, RATIO, beta)),
        ("per-sample torch.multinomial", lambda: per_sample(f, beta)),
        target=10,
        repeats=repeats,
    )


if __name__ == "__main__":
    main()

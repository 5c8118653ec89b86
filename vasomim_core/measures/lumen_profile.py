"""What a filled lumen does to the grey levels across it: the way of the rays through it, blurred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Profile:
    """The blurred profile of lumens, (n, m), and how it changes; 1 in the middle of a wide one.

    Attributes:
        value: G.
        by_centre: ∂G/∂c.
        by_log_radius: ∂G/∂ log r.
        by_log_blur: ∂G/∂ log σ.
        by_saturation: ∂G/∂κ.
    """

    value: Floats
    by_centre: Floats
    by_log_radius: Floats
    by_log_blur: Floats
    by_saturation: Floats


def blurred_chord(x: Floats, centre: Floats, radius: Floats, blur: float, saturation: Floats) -> Profile:
    """The shadow of lumens across a vessel, as a detector of blur σ sees it.

    A ray at a distance d from the middle of a lumen of radius r runs through 2·√(r² − d²) of contrast agent (for an
    ellipse, a multiple of it); with s = √(1 − (d/r)²) and a saturation κ the shadow is (1 − e^(−κs))/κ, which is s
    itself for κ = 0: grey levels may be stored as light (Beer-Lambert), as its logarithm, or between the two. Its
    convolution with a Gaussian is a sum over Chebyshev nodes of the second kind, whose weight is the root itself
    (Abramowitz & Stegun 25.4.40).

    Args:
        x: (m,) offsets in px.
        centre: c, (n,) in px.
        radius: r, (n,) in px, > 0.
        blur: σ in px, > 0.
        saturation: κ, (n,), ≥ 0.

    Returns:
        Values and derivatives, float32 (n, m).
    """
    count = int(np.ceil(2.6 * radius.max() / blur)) + 6  # nodes at most 1.2 σ apart: exact to six digits
    angle = np.pi * np.arange(1, count + 1) / (count + 1)
    u, s = np.cos(angle), np.sin(angle)
    ks = np.maximum(np.asarray(saturation, float), 1e-3)[:, None] * s
    share = np.pi / (count + 1) * s**2
    weight = share * -np.expm1(-ks) / ks
    change = share * s * (np.exp(-ks) * (1 + ks) - 1) / ks**2 / weight
    away = (np.asarray(x)[None] - centre[:, None]).astype(np.float32) / np.float32(blur)
    reach = (radius / blur)[:, None].astype(np.float32)
    height = (reach * weight / np.sqrt(2 * np.pi)).astype(np.float32)
    value, by_centre, by_radius, by_blur, by_saturation = (np.zeros(away.shape, np.float32) for _ in range(5))
    for node in range(count):
        z = away - reach * np.float32(u[node])
        bell = np.exp(-0.5 * z * z)
        bell *= height[:, node, None]
        value += bell
        by_saturation += bell * change[:, node, None].astype(np.float32)
        bell *= z
        by_centre += bell
        by_radius += np.float32(u[node]) * bell
        bell *= z
        by_blur += bell
    return Profile(value, by_centre / np.float32(blur), value + reach * by_radius, by_blur - value, by_saturation)

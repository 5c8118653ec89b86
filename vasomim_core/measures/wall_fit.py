"""The fit of lumens on a sloping ground to the grey levels along a vessel: unknowns, energy, Gauss-Newton steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solveh_banded

from vasomim_core.measures.lumen_profile import Profile, blurred_chord

Floats = NDArray[np.floating]
Explained = tuple[Profile, Floats]
"""The shadows of the unknowns, and what they leave to explain in the grey levels, (n, m)."""

# τ of what is smooth along the vessel. Second differences, per px²: of the centre (px), of the radius over the usual
# one, of log contrast. First ones, per px: of log contrast, and in noise levels of ground and slope.
BEND, TAPER, CONTRAST = 0.03, 0.01, 0.02
CONTRAST_DRIFT, GROUND, SLOPE = 0.05, 1.0, 0.2
KINK = 0.3
"""In τ of the radius: what bends less is noise and costs its square; a lesion bends more and costs in proportion."""
SATURATION, SATURATION_SPREAD = 0.5, 0.4  # 1: grey levels are light; 0: its logarithm
TRUST = 0.5  # share of the pixels that noise makes independent
OUTLIER = 3.0  # in noise levels, from where on other things than this vessel are seen
LEAST_NOISE = 0.3  # grey levels: those of 8 bits are rounded
ROUNDS, ENOUGH = 40, 2e-3
LEAST_RADIUS = 0.15
PRIORS: tuple[tuple[int, int, float | None], ...] = (
    (0, 2, None),
    (1, 2, KINK),
    (2, 2, None),
    (2, 1, None),
    (3, 1, None),
    (4, 1, None),
)
"""(unknown, order of the difference, kink) of each thing that is smooth along the vessel."""
MASKS = {1: (-1.0, 1.0), 2: (1.0, -2.0, 1.0)}


@dataclass(frozen=True)
class Belief:
    """What is known before the fit.

    Attributes:
        blur: σ of the point spread in px.
        blur_spread: standard deviation of its logarithm, > 0.
        contrast: share of the light that a px of radius takes, which filling and tilt change.
        contrast_spread: standard deviation of its logarithm, > 0.

    The defaults are those of a frame of which nothing is known.
    """

    blur: float = 0.95
    blur_spread: float = 0.3
    contrast: float = 0.1
    contrast_spread: float = 0.7


@dataclass(frozen=True)
class Unknowns:
    """What is sought at n points of a vessel, and for all of it.

    Attributes:
        local: (n, 5): centre c in px, log radius, log contrast q (depth in grey levels per px of radius), ground b₀ in
            grey levels, its slope b₁ per px.
        log_blur: log σ.
        saturation: κ over the depth as a share of the ground.
    """

    local: Floats
    log_blur: float
    saturation: float

    @property
    def radius(self) -> Floats:
        """Half of the diameter in px, (n,)."""
        return np.exp(self.local[:, 1])

    @property
    def depth(self) -> Floats:
        """Grey levels that the middle of a wide lumen would be darker, r·q, (n,)."""
        return np.exp(self.local[:, 1] + self.local[:, 2])

    @property
    def blur(self) -> float:
        """σ in px."""
        return float(np.exp(self.log_blur))

    def moved(self, local: Floats, log_blur: float, saturation: float) -> Unknowns:
        """These after a step, which is cut where it is long."""
        most = np.array([1.0, 0.3, 0.3, np.inf, np.inf])
        there = self.local + local.clip(-most, most)
        there[:, 1] = there[:, 1].clip(np.log(LEAST_RADIUS))
        return replace(
            self,
            local=there,
            log_blur=float(np.clip(self.log_blur + np.clip(log_blur, -0.2, 0.2), np.log(0.3), np.log(5))),
            saturation=float(np.clip(self.saturation + np.clip(saturation, -0.3, 0.3), 0.0, 2.0)),
        )


@dataclass(frozen=True)
class WallFit:
    """The samples that are to be explained.

    Attributes:
        x: offsets across in px, (m,), evenly spaced.
        grey: (n, m), vessels dark.
        seen: bool (n, m), what counts.
        step: px between two rows.
        belief: what is known before.
    """

    x: Floats
    grey: Floats
    seen: NDArray[np.bool_]
    step: float
    belief: Belief

    def best(self, start: Unknowns, rounds: int = ROUNDS) -> tuple[Unknowns, float]:
        """The unknowns from which no step leads down, and the noise in grey levels."""
        now, damping = start, 1e-3
        state = self._explained(now)
        noise = self._noise(state[1])
        energy = self._energy(now, state[1], noise)
        for _ in range(rounds):
            there = now.moved(*self._step(now, state, noise, damping))
            new_state = self._explained(there)
            new_energy = self._energy(there, new_state[1], noise)
            if new_energy > energy:
                damping *= 10
                if damping > 1e4:
                    break
                continue
            moved = np.abs(there.local - now.local)[:, :2].max()
            now, state, damping = there, new_state, max(damping / 5, 1e-6)
            noise = self._noise(state[1])
            energy = self._energy(now, state[1], noise)
            if moved < ENOUGH and damping < 1:
                break
        return now, noise

    def _explained(self, at: Unknowns) -> Explained:
        """(profile, what is left to explain)."""
        local, depth = at.local, at.depth
        kappa = at.saturation * depth / np.maximum(local[:, 3], 1.0)
        profile = blurred_chord(self.x, local[:, 0], at.radius, at.blur, kappa)
        rest = self.grey - local[:, 3, None] - local[:, 4, None] * self.x + depth[:, None] * profile.value
        return profile, rest

    def _noise(self, rest: Floats) -> float:
        return max(1.4826 * float(np.median(np.abs(rest[self.seen]))), LEAST_NOISE)

    @property
    def _share(self) -> float:
        """Independent pixels in a sample."""
        return TRUST * self.step * float(self.x[1] - self.x[0])

    def _energy(self, at: Unknowns, rest: Floats, noise: float) -> float:
        z2 = (rest[self.seen] / (OUTLIER * noise)) ** 2
        data = OUTLIER**2 * self._share * float((z2 / (1 + z2)).sum())
        rough = sum(
            self._rough(np.diff(self._smooth(at, place)[0], order), stiff, kink)[0]
            for (place, order, kink), stiff in zip(PRIORS, self._stiffness(noise), strict=True)
        )
        belief = ((at.log_blur - np.log(self.belief.blur)) / self.belief.blur_spread) ** 2
        belief += ((at.saturation - SATURATION) / SATURATION_SPREAD) ** 2
        return data + rough + belief + self._trust_in_contrast * float((self._off_contrast(at) ** 2).sum())

    @property
    def _trust_in_contrast(self) -> float:
        """Weight of what is believed of the contrast, at each of the points."""
        return 1 / self.belief.contrast_spread**2 / len(self.grey)

    def _off_contrast(self, at: Unknowns) -> Floats:
        return at.local[:, 2] - np.log(at.local[:, 3].clip(min=1) * self.belief.contrast)

    def _smooth(self, at: Unknowns, place: int) -> tuple[Floats, Floats]:
        """What of an unknown is smooth, (n,), and its derivative: radii over the usual one, the others themselves.

        The logarithm of the radius bends sharply where a lesion is narrow, and smoothness would fill it.
        """
        if place != 1:
            return at.local[:, place], np.ones(len(at.local))
        relative = at.radius / np.median(at.radius)  # the usual one of now: smaller vessels are no smoother for it
        return relative, relative

    def _stiffness(self, noise: float) -> tuple[float, ...]:
        s = self.step  # ∫ (∂ᵏv / τ)² ds, with differences of order k over steps s
        taus = (BEND, TAPER, CONTRAST, CONTRAST_DRIFT, GROUND * noise, SLOPE * noise)
        return tuple(s / (tau * s**order) ** 2 for tau, (_, order, _) in zip(taus, PRIORS, strict=True))

    def _rough(self, difference: Floats, stiff: float, kink: float | None) -> tuple[float, Floats]:
        """What differences cost, and how stiff springs would have to be that pull them as much.

        Up to the kink (in τ) the square, then in proportion: 2k²(√(1 + (d/k)²) − 1) (Charbonnier et al., IEEE TIP
        6(2), 1997).
        """
        if kink is None:
            return stiff * float((difference**2).sum()), np.full(len(difference), stiff)
        root = np.sqrt(1 + stiff / self.step * (difference / kink) ** 2)
        return 2 * kink**2 * self.step * float((root - 1).sum()), stiff / root

    def _step(self, at: Unknowns, state: Explained, noise: float, damping: float) -> tuple[Floats, float, float]:
        """The Gauss-Newton step: a band for the five unknowns of each point, and a border for those of all."""
        profile, rest = state
        n, k = at.local.shape
        z2 = (rest / (OUTLIER * noise)) ** 2
        weight = np.where(self.seen, self._share / (noise * (1 + z2)) ** 2, 0.0)
        depth = at.depth[:, None]
        ones = np.ones_like(rest)
        kappa_by = depth / np.maximum(at.local[:, 3, None], 1.0)
        jacobian = np.stack(
            [-depth * profile.by_centre, -depth * (profile.value + profile.by_log_radius), -depth * profile.value,
             ones, ones * self.x, -depth * profile.by_log_blur, -depth * kappa_by * profile.by_saturation], axis=-1
        )  # fmt: skip
        weighted = jacobian * weight[..., None]
        products = np.matmul(weighted.transpose(0, 2, 1), jacobian)
        slopes = np.matmul(weighted.transpose(0, 2, 1), rest[..., None])[..., 0]
        blocks, border, corner = products[:, :k, :k], products[:, :k, k:].reshape(n * k, -1), products[:, k:, k:].sum(0)
        gradient, corner_gradient = slopes[:, :k].copy(), slopes[:, k:].sum(0)
        bands = np.zeros((2 * k + 1, n * k))  # lower form: bands[i, j] is the element (i + j, j)
        for i in range(k):
            for j in range(i + 1):
                bands[i - j, j::k] += blocks[:, i, j]
        for (place, order, kink), unbent in zip(PRIORS, self._stiffness(noise), strict=True):
            values, gain = self._smooth(at, place)
            difference = np.diff(values, order)
            stiff = self._rough(difference, unbent, kink)[1]
            for a, first in enumerate(MASKS[order]):
                own = np.arange(a, a + len(difference))
                gradient[own, place] -= stiff * first * difference * gain[own]
                for b in range(a + 1):
                    bands[(a - b) * k, (own - a + b) * k + place] += (
                        stiff * first * MASKS[order][b] * gain[own] * gain[own - a + b]
                    )
        bands[0, 2::k] += self._trust_in_contrast
        gradient[:, 2] -= self._trust_in_contrast * self._off_contrast(at)
        known = np.array([np.log(self.belief.blur), SATURATION])
        spread = np.array([self.belief.blur_spread, SATURATION_SPREAD])
        corner += np.diag(1 / spread**2)
        corner_gradient += (known - [at.log_blur, at.saturation]) / spread**2
        bands[0] = bands[0] * (1 + damping) + 1e-9
        corner += np.diag(np.diag(corner)) * damping
        try:
            solved = solveh_banded(bands, np.column_stack([gradient.ravel(), border]), lower=True)
            shared = np.linalg.solve(corner - border.T @ solved[:, 1:], corner_gradient - border.T @ solved[:, 0])
        except (LinAlgError, ValueError):
            return np.zeros((n, k)), 0.0, 0.0
        local = (solved[:, 0] - solved[:, 1:] @ shared).reshape(n, k)
        return local, float(shared[0]), float(shared[1])

"""Masking: exact counts, the law of the guided draw, the weak-to-strong schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vasomim_core.errors import ConfigError
from vasomim_core.masking.sampling import (
    co_guided_anatomy,
    mask_noise,
    masked_count,
    masked_vessels,
    masking_ratio,
    sample_mask,
    sample_masks,
    vascular_distribution,
)
from vasomim_core.masking.schedule import MaskingSchedule, guidance_strength


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_distribution_sums_vessel_pixels_per_patch():
    anatomy = torch.zeros(3, 32, 48)
    anatomy[0, :16, :16] = 1  # one full patch
    anatomy[0, 20, 40] = 1  # one pixel in the last patch
    anatomy[1] = 0.25  # soft and even
    f = vascular_distribution(anatomy, 16)
    assert f.shape == (3, 6)
    torch.testing.assert_close(f[0], torch.tensor([256, 0, 0, 0, 0, 1.0]) / 257)
    torch.testing.assert_close(f[1], torch.full((6,), 1 / 6))
    assert not f[2].any()


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_distribution_sums_to_one_where_there_is_anatomy(seed, density):
    anatomy = torch.rand(4, 64, 32, generator=seeded(seed)) < density
    total = vascular_distribution(anatomy, 8).sum(1)
    torch.testing.assert_close(total, anatomy.flatten(1).any(1).float())


def test_distribution_refuses_frames_that_do_not_divide():
    with pytest.raises(ConfigError, match="multiple of the patch size"):
        vascular_distribution(torch.zeros(1, 30, 32), 16)


def test_guidance_goes_from_weak_to_strong():
    strengths = [guidance_strength(e, 10, 0.0, 0.5) for e in range(10)]
    np.testing.assert_allclose(strengths, np.arange(1, 11) / 20)
    assert guidance_strength(0, 1, 0.2, 0.9) == pytest.approx(0.9)
    for wrong in ((-1, 10, 0, 0.5), (10, 10, 0, 0.5), (0, 0, 0, 0.5), (0, 10, 0, 1.5)):
        with pytest.raises(ConfigError):
            guidance_strength(*wrong)


@given(
    seed=st.integers(0, 2**31),
    ratio=st.floats(0, 1),
    beta=st.floats(0, 1),
    vessels=st.integers(0, 196),
    sampler=st.sampled_from(["uniform", "anatomy", "top-k"]),
)
@settings(max_examples=200)
def test_masked_count_is_exact_in_every_case(seed, ratio, beta, vessels, sampler):
    f = torch.zeros(5, 196)
    f[1:, :vessels] = torch.rand(4, vessels, generator=seeded(seed)) + 1e-3
    f = f / f.sum(1, keepdim=True).clamp_min(1e-12)
    mask = sample_mask(f, ratio, beta, seeded(seed), sampler)
    masked = masked_count(196, ratio)
    assert mask.dtype == torch.bool
    assert (mask.sum(1) == masked).all()
    if sampler != "uniform":  # q patches at least hold vessel
        assert (mask & (f > 0))[1:].sum(1).min() >= min(int(beta * masked + 1e-9), vessels)


@pytest.mark.parametrize(("ratio", "masked"), [(0.5, 98), (0.75, 147), (0.9, 177), (0.0, 0), (1.0, 196), (0.7, 138)])
def test_masked_count_follows_the_formula(ratio, masked):
    # N − ⌊N(1 − γ)⌋ in exact arithmetic
    assert masked_count(196, ratio) == masked


@pytest.mark.parametrize("sampler", ["anatomy", "top-k"])
def test_full_guidance_masks_vessels_first(sampler):
    f = torch.zeros(2, 64)
    f[:, :10] = 0.1
    mask = sample_mask(f, 0.5, 1.0, seeded(), sampler)
    assert mask[:, :10].all()


def test_top_k_takes_the_largest():
    f = torch.rand(3, 50, generator=seeded())
    chosen = sample_masks(f, 0.4, 0.5, torch.rand(2, 3, 50), "top-k").guided
    for row, marks in zip(f, chosen, strict=True):
        assert set(marks.nonzero()[:, 0].tolist()) == set(row.topk(10).indices.tolist())


def test_inclusion_frequencies_agree_with_a_sequential_draw():
    """10,000 vectorised draws against 10,000 plain draws, patch by patch, within 4.5 standard errors."""
    patches, masked, beta, draws = 12, 6, 0.67, 10_000
    f = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.08, 0.06, 0.04, 0.02, 0, 0, 0, 0])
    fast = sample_mask(f.expand(draws, -1), 0.5, beta, seeded(1)).float().mean(0).numpy()

    rng = np.random.default_rng(2)
    counts = np.zeros(patches)
    guided = int(beta * masked)
    for _ in range(draws):
        weights, taken = f.numpy().astype(np.float64).copy(), []
        for _ in range(guided):
            taken.append(rng.choice(patches, p=weights / weights.sum()))
            weights[taken[-1]] = 0
        left = np.setdiff1d(np.arange(patches), taken)
        taken += rng.choice(left, masked - guided, replace=False).tolist()
        counts[taken] += 1
    plain = counts / draws
    error = np.sqrt((plain * (1 - plain) + fast * (1 - fast)) / draws) + 1e-9
    assert (np.abs(fast - plain) / error).max() < 4.5
    assert fast[0] > 0.9 > 0.5 > fast[-1]


def test_empty_anatomy_is_masked_uniformly():
    share = sample_mask(torch.zeros(20_000, 16), 0.5, 0.5, seeded()).float().mean(0)
    torch.testing.assert_close(share, torch.full((16,), 0.5), atol=0.02, rtol=0)


def test_guided_patches_are_part_of_the_mask_and_hold_vessel():
    f = torch.zeros(4, 64)
    f[:, :5] = torch.rand(4, 5) + 0.1
    noise = torch.rand(2, 4, 64)
    for beta, count in ((0.1, 3), (0.9, 5)):
        masked, guided = sample_masks(f, 0.5, beta, noise)
        assert (guided.sum(1) == count).all()
        assert not (guided & ~masked).any()
        assert torch.equal(masked, sample_mask(f, 0.5, beta, noise=noise))
        assert not guided[:, 5:].any()


def test_few_vessels_leave_the_rest_uniform():
    """β asks for more guided patches than hold vessel: all of those are masked, the others alike."""
    f = torch.zeros(20_000, 16)
    f[:, :2] = 0.5
    share = sample_mask(f, 0.5, 0.75, seeded()).float().mean(0)
    assert (share[:2] == 1).all()
    torch.testing.assert_close(share[2:], torch.full((14,), 6 / 14), atol=0.02, rtol=0)


def test_the_same_generator_gives_the_same_mask():
    f = torch.rand(4, 64, generator=seeded())
    assert torch.equal(sample_mask(f, 0.5, 0.3, seeded(7)), sample_mask(f, 0.5, 0.3, seeded(7)))
    assert not torch.equal(sample_mask(f, 0.5, 0.3, seeded(7)), sample_mask(f, 0.5, 0.3, seeded(8)))


def test_a_generator_stands_for_the_noise_of_one_mask_after_the_other():
    f, generator, same = torch.rand((2, 30), generator=seeded()), seeded(4), seeded(4)
    for _ in range(3):
        noise = torch.rand((2, *f.shape), generator=same)
        assert torch.equal(sample_mask(f, 0.5, 0.5, generator), sample_mask(f, 0.5, 0.5, noise=noise))


def test_rows_do_not_depend_on_the_batch_they_are_in():
    f, noise = torch.rand(6, 64, generator=seeded()), torch.rand(2, 6, 64, generator=seeded(1))
    whole = sample_mask(f, 0.6, 0.4, noise=noise)
    halves = [sample_mask(f[s], 0.6, 0.4, noise=noise[:, s]) for s in (slice(0, 3), slice(3, 6))]
    assert torch.equal(whole, torch.cat(halves))


def test_the_masking_ratio_is_the_mean_over_the_epochs_of_a_run():
    f = torch.zeros(1, 64)
    f[0, :6] = 1 / 6
    schedule = MaskingSchedule(epochs=200, seed=3)
    ratio = masking_ratio(f, schedule)
    drawn = [sample_masks(f, 0.5, schedule.beta(e), mask_noise(3, e, 1, 64)).masked.float() for e in range(200)]
    torch.testing.assert_close(ratio, torch.stack(drawn).mean(0))
    assert ratio.mean() == pytest.approx(0.5)
    assert ratio[0, :6].mean() > ratio[0, 6:].mean() + 0.1


@pytest.mark.parametrize("sampler", ["anatomy", "top-k", "uniform"])
def test_the_share_of_masked_vessels_agrees_with_its_expectation(sampler):
    """q guided patches are all vessel; the other M − q are uniform among those left: (q + (M−q)(V−q)/(N−q)) / V."""
    f = torch.zeros(64)
    f[:20] = torch.rand(20, generator=seeded()) + 0.05
    f /= f.sum()
    schedule = MaskingSchedule(sampler=sampler, beta_end=1.0, epochs=10)
    patches, pixels = masked_vessels(f, f, schedule, [0, 4, 9], 3000)
    for epoch, share in zip([0, 4, 9], patches.tolist(), strict=True):
        q = 0 if sampler == "uniform" else min(int(schedule.beta(epoch) * 32), 20)
        assert share == pytest.approx((q + (32 - q) * (20 - q) / (64 - q)) / 20, abs=0.01)
    if sampler == "uniform":
        torch.testing.assert_close(pixels, torch.full((3,), 0.5), atol=0.02, rtol=0)
    else:
        assert pixels[0] > patches[0] + 0.01  # full patches come first
        assert pixels[2] == pytest.approx(1)


def test_no_vessels_have_no_share_that_is_masked():
    patches, pixels = masked_vessels(torch.zeros(16), torch.zeros(16), MaskingSchedule(epochs=3), [0, 2], 4)
    assert torch.isnan(patches).all()
    assert torch.isnan(pixels).all()


def test_co_guidance_is_the_mean_of_filter_and_segmentor():
    anatomy = torch.tensor([[[1.0, 0.0]]])
    mixed = co_guided_anatomy(anatomy, torch.tensor([[[[0.0, 100.0]]]]))
    torch.testing.assert_close(mixed, torch.tensor([[[0.75, 0.5]]]))


def test_bad_settings_are_named():
    f = torch.rand(1, 4)
    with pytest.raises(ConfigError, match="sampler"):
        sample_mask(f, 0.5, 0.5, sampler="best")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="mask ratio"):
        sample_mask(f, 1.5, 0.5)
    with pytest.raises(ConfigError, match="β"):
        sample_mask(f, 0.5, -0.1)


@pytest.mark.parametrize("shape", [(1, 30, 32), (1, 32, 30), (2, 3, 32, 32), (32,)])
def test_shapes_that_are_no_frames_in_patches_are_refused(shape):
    with pytest.raises(ConfigError):
        vascular_distribution(torch.zeros(shape), 16)


def test_one_frame_and_a_channel_of_one_are_taken():
    anatomy = torch.rand(2, 1, 32, 48, generator=seeded())
    whole = vascular_distribution(anatomy, 16)
    assert torch.equal(whole, vascular_distribution(anatomy[:, 0], 16))
    array = vascular_distribution(anatomy[1, 0].numpy(), 16)
    assert (type(array), array.dtype) == (np.ndarray, np.float32)
    np.testing.assert_array_equal(whole[1:], array)


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.float64])
def test_an_array_gives_the_arrays_of_the_tensor(dtype):
    anatomy = np.random.default_rng(0).random((32, 48)) > 0.7
    f = vascular_distribution(anatomy[::-1].astype(dtype)[:, ::-1], 8)  # torch takes no array that runs backwards
    f.flags.writeable = False
    mask = sample_mask(f, 0.5, 0.5, seeded(3), "top-k")
    assert (type(mask), mask.dtype, mask.shape) == (np.ndarray, bool, (1, 24))
    np.testing.assert_array_equal(mask, sample_mask(torch.tensor(f), 0.5, 0.5, seeded(3), "top-k"))
    noise = np.random.default_rng(1).random((2, 1, 24), np.float32)
    np.testing.assert_array_equal(
        sample_mask(f, 0.5, 0.5, noise=noise), sample_mask(torch.tensor(f), 0.5, 0.5, noise=torch.tensor(noise))
    )


def test_f_of_one_image_or_on_its_grid_is_refused():
    f = vascular_distribution(np.eye(32, dtype=bool), 8)
    assert sample_mask(np.concatenate([f, 0 * f]), 0.5, 0.5).sum(1).tolist() == [8, 8]
    for wrong in (f[0], torch.tensor(f[0]), f.reshape(1, 4, 4), f.reshape(4, 4)):
        with pytest.raises(ConfigError, match=r"give \(B, N\)"):
            sample_mask(wrong, 0.5, 0.5)


def test_the_chance_of_a_step_is_that_of_its_own_generator():
    assert torch.equal(mask_noise(3, 5, 2, 7), torch.rand(2, 2, 7, generator=seeded(3 * 1_000_003 + 5)))


def plain(f, masked, guided, noise, sampler):
    """The rule for one image, patch by patch: those masked, and those of them for their vessels."""
    chance, luck = noise.double().numpy()
    vessels = [i for i in range(len(f)) if f[i] > 0]
    key = {"anatomy": lambda i: -np.log1p(-luck[i]) / f[i], "top-k": lambda i: (-f[i], luck[i])}
    chosen = [] if sampler == "uniform" else sorted(vessels, key=key[sampler])[:guided]
    left = sorted(set(range(len(f))) - set(chosen), key=lambda i: chance[i])
    return set(chosen + left[: masked - len(chosen)]), set(chosen)


@pytest.mark.parametrize("sampler", ["uniform", "anatomy", "top-k"])
@pytest.mark.parametrize(
    ("ratio", "beta", "masked", "guided"),
    [(0.5, 0.5, 50, 25), (0.9, 0.3, 90, 27), (1.0, 0.29, 100, 29), (0.3, 1.0, 30, 30), (0.6, 0.0, 60, 0)],
)
def test_a_mask_is_that_of_the_plain_rule(sampler, ratio, beta, masked, guided):
    f = torch.rand(4, 100, generator=seeded()) ** 3
    f[1:, 40:] = 0
    f[2, 10:] = 0
    f[3] = (f[3] > 0.1) / 8  # all alike: chance breaks the ties
    noise = torch.rand(2, 4, 100, generator=seeded(1))
    masks = sample_masks(f, ratio, beta, noise, sampler)
    assert torch.equal(sample_mask(f, ratio, beta, seeded(1), sampler), masks.masked)
    for row in range(4):
        expected = plain(f[row].double().numpy(), masked, guided, noise[:, row], sampler)
        assert tuple(set(mask[row].nonzero()[:, 0].tolist()) for mask in masks) == expected


def test_anatomy_guides_unless_another_sampler_is_named():
    f, noise = torch.rand(2, 64, generator=seeded()), torch.rand(2, 2, 64, generator=seeded(1))
    assert torch.equal(sample_masks(f, 0.5, 0.5, noise).guided, sample_masks(f, 0.5, 0.5, noise, "anatomy").guided)
    for beta in (-0.01, 1.01):
        with pytest.raises(ConfigError, match="β"):
            sample_masks(f, 0.5, beta, noise)

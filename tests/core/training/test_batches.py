"""Which frames make a batch, in which process and part, and who reads them."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.core.training.made import Numbers
from vasomim_core.config import Training
from vasomim_core.errors import RunError
from vasomim_core.training import batches
from vasomim_core.training.batches import BatchPlan
from vasomim_core.training.processes import Processes


@given(st.integers(1, 40), st.sampled_from([(4, 1, 1), (4, 2, 1), (8, 2, 2), (6, 1, 3)]), st.integers(0, 50))
def test_processes_and_parts_share_each_batch_without_overlap(frames, layout, first):
    batch, count, parts = layout
    settings = Training(batch_size=batch, accumulate=parts, epochs=3)
    plans = [BatchPlan(frames, settings, Processes(rank, count)) for rank in range(count)]
    whole = BatchPlan(frames, Training(batch_size=batch, epochs=3), Processes())
    first = min(first, whole.steps - 1)
    single = list(whole.keys(first))
    shared = [list(plan.keys(first)) for plan in plans]
    assert all(len(keys) == parts * len(single) for keys in shared)
    for step, expected in enumerate(single):
        joined = [key for part in range(parts) for keys in shared for key in keys[step * parts + part]]
        assert joined == expected
    rows = [r for part in range(parts) for plan in plans for r in range(batch)[plan.rows(part)]]
    assert rows == list(range(batch))


@given(st.integers(4, 40))
def test_an_epoch_shows_each_frame_at_most_once(frames):
    plan = BatchPlan(frames, Training(batch_size=4, epochs=2), Processes())
    keys = [key for batch in plan.keys(0) for key in batch]
    assert len(keys) == len(set(keys)) == 2 * (frames // 4 * 4)


def test_resuming_goes_on_with_the_same_batches():
    plan = BatchPlan(10, Training(batch_size=4, epochs=5), Processes())
    assert list(plan.keys(3)) == list(plan.keys(0))[3:]


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(RunError, match="multiple of 6"):
        BatchPlan(10, Training(batch_size=8, accumulate=3), Processes(0, 2))


@pytest.mark.parametrize(("now", "then"), [(1, 2), (2, 6), (3, 6), (6, None)])
def test_a_batch_of_six_divides_without_a_rest(now, then):
    assert BatchPlan(8, Training(batch_size=6, accumulate=now), Processes()).more_parts() == then


@pytest.mark.parametrize("cores", [None, 2, 64])
@pytest.mark.parametrize(("device", "workers"), [("cpu", 0), ("cuda", min)])
def test_frames_are_read_ahead_where_a_gpu_waits_for_them(monkeypatch, device, workers, cores):
    made = {}
    monkeypatch.setattr(batches, "DataLoader", lambda frames, **options: made.update(options) or [])
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    expected = min(8, cores or 1) if workers else 0
    for told in (None, 0, 3):
        count = expected if told is None else told
        BatchPlan(8, Training(batch_size=4, workers=told), Processes()).loader(Numbers(), torch.device(device), 0)
        assert (made["num_workers"], made["pin_memory"]) == (count, device == "cuda")
        assert made["worker_init_fn"] is (batches._one_thread if count else None)

"""A batch in parts teaches what the whole batch does, also where memory ends in the midst of it."""

from __future__ import annotations

import pytest

from tests.core.training.made import MEMORY, Hungry, Line, each, fit, train
from vasomim_core.training.events import read_events


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_teaches_what_the_whole_batch_does(tmp_path, parts):
    whole, split = Line(), Line()
    expected = fit(tmp_path / "whole", whole, log_every=1, clip=0.5)[1]
    events = fit(tmp_path / "split", split, log_every=1, clip=0.5, accumulate=parts)[1]
    assert len(split.weights) == parts * len(whole.weights)
    assert split.w.item() == pytest.approx(whole.w.item(), rel=1e-5)
    for name in ("loss", "gradient_norm"):
        assert each(events, name) == pytest.approx(each(expected, name), rel=1e-5)


@pytest.mark.parametrize("error", MEMORY, ids=["cuda", "cpu"])
def test_a_batch_that_does_not_fit_is_split_and_says_so(tmp_path, error):
    runs = {fits: tmp_path / str(fits) for fits in (4, 1)}
    learners = {fits: Hungry(error, fits) for fits in runs}
    for fits, run in runs.items():
        run.mkdir()
        train(run, learners[fits])
    rows = [rows for step, rows in learners[1].asked if step == 2]
    assert rows == [slice(n, n + 1) for n in range(4)]
    events = {fits: list(read_events(run)) for fits, run in runs.items()}
    assert [e["message"] for e in events[1] if e["event"] == "warning"] == [
        "memory did not suffice; batches are now computed in 2 parts",
        "memory did not suffice; batches are now computed in 4 parts",
    ]
    assert not [e for e in events[4] if e["event"] == "warning"]
    losses = {fits: [e["loss"] for e in events[fits] if e["event"] == "step"] for fits in runs}
    assert losses[1] == pytest.approx(losses[4], abs=1e-5)
    assert len(losses[1]) == 4
    assert learners[1].w.item() == pytest.approx(learners[4].w.item(), abs=1e-5)


@pytest.mark.parametrize("error", [MEMORY[0], RuntimeError("shapes do not fit")], ids=["one frame", "another error"])
def test_what_smaller_parts_do_not_help_is_raised(tmp_path, error):
    with pytest.raises(RuntimeError, match=str(error)):
        train(tmp_path, Hungry(error, 0))


def test_parts_of_a_batch_that_did_not_fit_are_forgotten(tmp_path):
    """Memory ends in the second part of a step, when the gradients of the first are there already."""
    whole, split = Line(), Line()
    fit(tmp_path / "whole", whole)
    calls = []

    def fail_once(moment):
        calls.append(moment.step)
        if calls.count(3) == 2 and len(calls) == 8:
            raise MEMORY[0]

    split.before = fail_once
    fit(tmp_path / "split", split, accumulate=2)
    assert calls == [0, 0, 1, 1, 2, 2, 3, 3, *[3] * 4, *[4] * 4, *[5] * 4]
    assert split.w.item() == pytest.approx(whole.w.item(), rel=1e-5)

"""A run that is stopped goes on from its checkpoint as if nothing had been; another's is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.core.training.made import MEMORY, Hungry, Line, fit, of, scored, train
from vasomim_core.errors import RunError
from vasomim_core.training.events import EventLog, read_events


def test_a_stop_event_ends_the_run_where_signals_do_not_reach(tmp_path):
    class Asking(Hungry):
        def forward(self, batch, moment):
            if moment.step == 1:
                EventLog(tmp_path).write("stop")
            return super().forward(batch, moment)

    log = EventLog(tmp_path)
    log.write("open")
    log.write("stop")  # of the session before
    log.write("open")
    assert train(tmp_path, Asking(MEMORY[0], fits=4)) == "stopped"
    assert [e["step"] for e in read_events(tmp_path) if e["event"] == "step"] == [1, 2]


def test_a_run_that_is_stopped_before_it_is_validated_has_a_model_and_starts_but_once(tmp_path):
    task, _, kept = scored(1, 2, 3)
    learner = Line()
    learner.before = lambda moment: EventLog(tmp_path).write("stop") if moment.step == 0 else None
    assert fit(tmp_path, learner, task)[0] == "stopped"
    assert kept == [(None, 1)]
    EventLog(tmp_path).write("open")
    _, events = fit(tmp_path, Line(), task | {"validate_start": True})
    assert of(events, "validation") == [("validation", 2), ("validation", 4), ("validation", 6)]
    assert kept == [(None, 1), (1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("log_every", [1, 100])
def test_a_request_to_stop_ends_the_run_after_the_step_in_hand(tmp_path, log_every):
    learner = Line()
    learner.before = lambda moment: EventLog(tmp_path).write("stop") if moment.step == 3 else None
    reason, events = fit(tmp_path, learner, log_every=log_every)
    assert (reason, len(learner.weights)) == ("stopped", 4)
    assert of(events, "checkpoint") == [("checkpoint", 4)]
    assert torch.load(tmp_path / "state.pt", weights_only=True)["state"]["step"] == 4
    log = EventLog(tmp_path)
    log.write("open")  # which takes the request back
    again, whole = Line(), Line()
    assert fit(tmp_path, again, log_every=log_every)[0] == "finished"
    fit(tmp_path / "whole", whole, log_every=log_every)
    assert learner.weights + again.weights == whole.weights
    last = [list(read_events(run))[-2] for run in (tmp_path, tmp_path / "whole")]
    assert (last[0]["event"], last[0]["loss"]) == ("step", last[1]["loss"])  # of steps before it was stopped, too
    assert again.w.item() == whole.w.item()


def earlier_checkpoint() -> dict:
    """Of a run that was stopped after its third step, as it was written before there was a `Trainer`."""
    learned, averaged = (0.21768072247505188, 0.24763281643390656), (0.20348729193210602, 0.22607636451721191)
    moments = [(-0.6337384581565857, 2.8802127838134766), (-0.2751987874507904, 0.24378907680511475)]
    shapes = [(1, 1), (1,)]
    options = {"lr": 0.075, "betas": (0.9, 0.95), "eps": 1e-08, "amsgrad": False, "maximize": False, "foreach": None}
    options |= {"capturable": False, "differentiable": False, "fused": True, "decoupled_weight_decay": True}
    return {
        "learner": {n: torch.full(s, v) for n, s, v in zip("wb", shapes, learned, strict=True)},
        "ema": {n: torch.full(s, v) for n, s, v in zip("wb", shapes, averaged, strict=True)},
        "optimiser": {
            "state": {
                n: {"step": torch.tensor(3.0), "exp_avg": torch.full(s, m), "exp_avg_sq": torch.full(s, v)}
                for n, (s, (m, v)) in enumerate(zip(shapes, moments, strict=True))
            },
            "param_groups": [{**options, "weight_decay": decay, "params": [n]} for n, decay in enumerate((0.05, 0.0))],
        },
        "state": {
            **{"step": 3, "best": 0.1793241798877716, "stale": 0, "counted": 1},
            "totals": {"loss": 0.185245543718338},
        },
    }


def test_a_checkpoint_of_an_earlier_version_is_resumed_exactly(tmp_path):
    saved = earlier_checkpoint()
    torch.save(saved, tmp_path / "state.pt")
    learner = Line()
    task = {"validate": lambda network: {"dsc": network.w.item()}}
    reason, events = fit(tmp_path, learner, task, ema=0.9, log_every=100)
    assert (reason, learner.weights[0]) == ("finished", saved["learner"]["w"].item())
    assert next(e["resumed"] for e in events if e["event"] == "start") == 3
    # What that version itself came to.
    assert [(e["step"], e["loss"]) for e in events if e["event"] == "step"] == [(4, 0.191807), (6, 0.309963)]
    assert [e["best"] for e in events if e["event"] == "validation"] == pytest.approx(
        [0.21899938583374023, 0.2300286591053009], rel=1e-6
    )
    assert learner.w.item() == pytest.approx(0.23685581982135773, rel=1e-6)
    assert learner.b.item() == pytest.approx(0.3010222315788269, rel=1e-6)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    fit(tmp_path, Line(), save_every=2)
    with pytest.raises(RunError, match="does not fit the settings in its run folder; start a new run"):
        fit(tmp_path, Line(), {"groups": [{"params": nn.Linear(1, 1).parameters()}]})
    (tmp_path / "state.pt").write_bytes(b"PK\3\4")
    with pytest.raises(RunError, match="start a new run"):
        fit(tmp_path, Line())


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch.save({"learner": Path("x"), "optimiser": {}, "ema": None, "state": {}}, tmp_path / "state.pt")
    with pytest.raises(RunError, match=r"(?s)start a new run.*weights_only"):
        fit(tmp_path, Line())

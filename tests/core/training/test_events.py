"""The events of a run: each line is checked on its own, and what a killed run repeats is told once."""

from __future__ import annotations

import json
import os

import pytest

from vasomim_core.errors import RunError
from vasomim_core.training.events import (
    FILE,
    LONGEST_LINE,
    NEEDED,
    EventLog,
    Follower,
    counting,
    parse_event,
    read_events,
)

LEAST = {"step": 1, "epoch": 1, "eta": 1.0, "scores": {"dsc": 1.0}, "done": 1, "total": 1}
LEAST |= dict.fromkeys(("path", "message", "reason"), "")
HUGE = 10**400


def parsed(kind: str, **values: object) -> dict:
    return parse_event(json.dumps({"event": kind, **values}).encode())


def refused(kind: str, **values: object) -> str:
    with pytest.raises(ValueError, match=r"^('|the event)") as raised:
        parsed(kind, **values)
    return str(raised.value)


@pytest.mark.parametrize(
    ("names", "good", "bad"),
    [
        (("pid",), (0, 2**31 - 1), (-1, 2**31, True, 1.0, "1", None)),
        (
            ("step", "steps", "epoch", "epochs", "resumed", "frames", "processes", "parameters", "done", "total"),
            (0, 2**53 - 1),
            (-1, 2**53, False, 1.0, "1", None),
        ),
        (("time",), (0, 1.5, 1e11 - 1), (-0.1, 1e11, True, "1", None, float("nan"))),
        (("job", "device", "precision", "reason", "message", "path"), ("", "ä"), (1, None, [])),
        (("scores",), ({"dsc": 1}, {"a": 0.5, "b": -1}), ({}, [], 1, {"dsc": "1"}, {"dsc": 1, "b": float("inf")})),
        (("eta", "memory"), (None, 0, 1e18 - 1e3), (-0.1, 1e18, "1", True, float("inf"))),
        (("loss", "learning_rate"), (0, -1e299), ("1", None, True, 1e300, HUGE, float("nan"))),
        (("improved",), (True, "anything"), ()),
    ],
)
def test_a_field_is_of_its_type_and_within_its_range(names, good, bad):
    for name in names:
        for value in good:
            assert parsed("step", **{"step": 1, name: value})[name] == value
        for value in bad:
            assert refused("step", **{"step": 1, name: value}).startswith(f"'{name}' is ")


def test_what_other_events_tell_besides_is_of_any_type():
    assert parsed("start", left_out=["a"])["left_out"] == ["a"]
    assert parsed("something new", loss="much")["loss"] == "much"


@pytest.mark.parametrize("kind", NEEDED)
def test_an_event_without_what_it_is_about_is_none(kind):
    values = {name: LEAST[name] for name in NEEDED[kind]}
    assert parsed(kind, **values) == {"event": kind, **values}
    for name in values:
        left = {other: value for other, value in values.items() if other != name}
        assert refused(kind, **left) == f"the event '{kind}' has no {name}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"[]", "it is no event"),
        (b"{}", "it is no event"),
        (b'{"event": 1}', "it is no event"),
        (b"{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 60_000, "it is not JSON"),
    ],
)
def test_what_is_no_event_says_why(line, says):
    with pytest.raises(ValueError, match=says):
        parse_event(line)


def test_a_line_may_have_64_kib():
    line = b'{"event": "x"}'.ljust(1 << 16)
    assert parse_event(line) == {"event": "x"}
    assert len(line) == LONGEST_LINE
    with pytest.raises(ValueError, match="it has 65537 bytes"):
        parse_event(line + b" ")


def test_damaged_lines_are_counted_the_first_one_is_told_and_torn_ones_are_not(tmp_path):
    lines = [b'{"event": "open"}', b'{"event": "st', b'{"event": 3}', b"", b'{"event": "open", "pid": -1}']
    (tmp_path / FILE).write_bytes(b"\n".join(lines) + b'\n{"event": "open"}  \r\n')
    follower = Follower(tmp_path)
    assert follower.new_events() == [{"event": "open"}] * 2
    assert (follower.damaged, follower.damage) == (2, "line 3: it is no event")
    with open(tmp_path / FILE, "ab") as file:
        file.write(b'{"event": "step"}\n')
    assert follower.new_events() == []
    assert (follower.damaged, follower.damage) == (3, "line 3: it is no event")


def test_each_event_is_given_once_and_a_line_when_it_is_whole(tmp_path):
    follower, text = Follower(tmp_path), b'{"event": "open"}\n{"event": "step", "step": 1}\n'
    assert follower.new_events() == []
    seen = []
    for end in range(1, len(text) + 1):
        (tmp_path / FILE).write_bytes(text[:end])
        seen += [(end, event["event"]) for event in follower.new_events()]
    assert seen == [(18, "open"), (len(text), "step")]


def test_a_run_that_takes_the_place_of_another_is_followed_from_its_begin(tmp_path):
    follower = Follower(tmp_path)
    (tmp_path / FILE).write_bytes(b'{"event": 1}\n' + b'{"event": "open"}\n' * 2)
    assert len(follower.new_events()) == 2
    (tmp_path / FILE).write_bytes(b'{"event": "start"}\n')
    assert follower.new_events() == [{"event": "start"}]
    assert (follower.damaged, follower.damage) == (0, "")


def test_the_steps_that_a_resumed_run_repeats_count_once():
    def told(*steps: int) -> list[dict]:
        return [{"event": "step", "step": step} for step in steps]

    begun, again = {"event": "start"}, {"event": "start", "resumed": 2}
    assert counting([begun, *told(1, 2, 3), again, *told(3)]) == [begun, *told(1, 2), again, *told(3)]
    assert counting([again, *told(3)], before=[begun, *told(1, 2, 3)]) == [begun, *told(1, 2), again, *told(3)]
    afresh = {"event": "start"}  # killed before its first checkpoint
    assert counting([begun, *told(1), afresh, *told(1)]) == [begun, afresh, *told(1)]


@pytest.mark.parametrize(("there", "joined"), [(b"", b""), (b"{}\n", b"{}\n"), (b"{", b"{\n"), (b"{}", b"{}\n")])
def test_what_is_written_begins_a_line_of_its_own(tmp_path, there, joined):
    (tmp_path / FILE).write_bytes(there)
    log = EventLog(tmp_path)
    assert (tmp_path / FILE).read_bytes() == joined
    log.write("model", path="ä")
    added = (tmp_path / FILE).read_bytes().removeprefix(joined)
    assert added.startswith(b'{"event": "model", "time": ')
    assert added.endswith('"path": "ä"}\n'.encode())
    event = json.loads(added)
    assert round(event["time"], 3) == event["time"]
    assert [e["path"] for e in read_events(tmp_path)] == ["ä"]


def test_who_does_not_write_leaves_the_file_as_it_is(tmp_path):
    (tmp_path / FILE).write_bytes(b"{")
    EventLog(tmp_path, writes=False).write("open")
    assert (tmp_path / FILE).read_bytes() == b"{"


def test_events_are_not_written_into_something_else(tmp_path):
    os.mkdir(tmp_path / FILE)
    with pytest.raises(RunError, match="no ordinary file"):
        EventLog(tmp_path)


def test_nothing_is_read_twice_not_even_in_part(tmp_path):
    log, follower = EventLog(tmp_path), Follower(tmp_path)
    for message in ("a", "b", "c"):
        log.write("warning", message=message)
        assert [event["message"] for event in follower.new_events()] == [message]
    assert follower.damaged == 0


def test_events_are_lines_and_a_torn_one_is_skipped(tmp_path):
    log = EventLog(tmp_path)
    log.write("start", resumed=0)
    log.write("step", step=1, loss=0.5)
    log.write("step", step=2, loss=0.4)
    with open(tmp_path / FILE, "a") as file:
        file.write('{"event": "step", "st')  # killed here
    log = EventLog(tmp_path)
    log.write("start", resumed=1)
    log.write("step", step=2, loss=0.41)
    events = list(read_events(tmp_path))
    assert [(e["step"], e["loss"]) for e in events if e["event"] == "step"] == [(1, 0.5), (2, 0.41)]
    for line in (tmp_path / FILE).read_text().splitlines()[-2:]:
        json.loads(line)


def test_only_the_first_process_writes(tmp_path):
    EventLog(tmp_path, writes=False).write("start")
    assert not (tmp_path / FILE).exists()

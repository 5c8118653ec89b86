"""A comparison over a real SSH server: its tables are those that this computer would have made, in its own names."""

from __future__ import annotations

import csv
import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from tests.core.remote.conftest import NAME
from tests.core.remote.test_running import Seen, hidden_files
from tests.core.training.test_resume import vasomim
from vasomim_core.comparing.report import write_report
from vasomim_core.comparing.settings import Comparison
from vasomim_core.comparing.standing import standing
from vasomim_core.comparing.work import Work
from vasomim_core.errors import RemoteError, RunError
from vasomim_core.remote import asked, comparison
from vasomim_core.remote.asked import Asked
from vasomim_core.remote.compared import Names, place_file
from vasomim_core.remote.comparison import compare_elsewhere
from vasomim_core.remote.place import Place, place_of
from vasomim_core.synthetic import write_samples

PATIENT = "MUELLER_ANNA"
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(1200)]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(asked, "PAUSES", (0.05,))
    monkeypatch.setattr(comparison, "POLL", 0.3)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Frames in a folder and files that are called like a patient."""
    folder = tmp_path_factory.mktemp("data") / PATIENT
    write_samples(folder, 8, size=96)
    for path in sorted(folder.rglob("*.png")):
        path.rename(path.with_name(f'{PATIENT}, "{path.stem}".png'))
    return folder


@pytest.fixture
def settings(data) -> Comparison:
    return Comparison(
        (data,), methods=("frangi", "mae"), seeds=1, fraction=1.0, epochs=1, finetuning_epochs=1, input_size=32,
        batch_size=4, device="cpu",
    )  # fmt: skip


def without_costs(report: str) -> str:
    return re.sub(r"\| MAE \| [\d.]+ \| (\d+ \| [\d.]+) \| [\d.]+ \|", r"| MAE | \1 |", report)


def test_a_comparison_that_is_killed_and_cut_off_has_the_tables_that_it_would_have_here(
    settings, far, server, tmp_path
):
    out, here, gate, seen = tmp_path / "out", tmp_path / "here", tmp_path / "gate", []
    far.described(HOLD="mae", WAIT_FOR=gate)

    def kill():
        seen.append(hidden_files(far.folder))
        process = json.loads(next(far.folder.glob("jobs/*/process.json")).read_text())["pid"]
        psutil.Process(process).kill()
        gate.touch()

    with pytest.raises(RunError, match=r"gone without a word.*the same command goes on"):
        compare_elsewhere(out, settings, NAME, Seen(**{f"scored: scores/{PATIENT}/frangi": kill}))
    assert PATIENT.encode() not in seen[0]
    assert (out / "scores" / PATIENT / "frangi" / "seed-0" / "scores.csv").is_file()

    def back():
        if server.process is None:
            server.start()

    watcher = Seen(**{"trained: pretraining/mae": server.cut_off, "tries": back})
    compared = compare_elsewhere(out, settings, watcher=watcher)
    assert (compared.reason, compared.failures) == ("finished", {})
    assert any("cannot be reached" in sentence for sentence in watcher.sentences)
    assert not far.folder.exists()
    assert standing(out).finished

    work = Work(here, settings)
    write_report(work, work.run())
    for name in (f"tables/{PATIENT}.csv", f"scores/{PATIENT}/mae/seed-0/scores.csv"):
        assert (out / name).read_text() == (here / name).read_text()
    one, other = ((folder / "report.md").read_text() for folder in (out, here))
    assert without_costs(one) == without_costs(other)
    with open(out / "scores" / PATIENT / "mae" / "seed-0" / "scores.csv", newline="") as file:
        assert {row["frame"][: len(PATIENT)] for row in csv.DictReader(file)} == {PATIENT}
    run = Path("finetuning", PATIENT, "mae", "seed-0")
    assert (out / run / "config.yaml").read_text() == (here / run / "config.yaml").read_text().replace(
        str(here), str(out)
    )
    assert (out / run / "data.json").read_text() == (here / run / "data.json").read_text()
    for folder in (run, Path("pretraining", "mae")):
        assert (out / folder / "model.safetensors").read_bytes() == (here / folder / "model.safetensors").read_bytes()
    assert vasomim("compare", "--out", out) == 0  # here, where nothing is left to be done
    assert place_of(out).state == "gone"


def test_what_would_be_sent_is_listed_and_not_sent(data, far, tmp_path, capsys):
    far.described()
    out = tmp_path / "out"
    options = ("compare", "--out", out, "--data", data, "--methods", "frangi", "--device", "cpu", "--seeds", 1)
    assert vasomim(*options, "--on", NAME, "--dry-run") == 0
    assert f"would send to {NAME} (far:{far.folder}): 8 frames, 8 masks" in capsys.readouterr().out
    assert not out.exists()
    assert not far.folder.exists()
    assert vasomim(*options, "--dry-run") == 1


def test_a_comparison_stays_where_it_was_begun(settings, far, tmp_path):
    far.described()
    (tmp_path / "here" / "scores").mkdir(parents=True)
    with pytest.raises(RunError, match="was begun here"):
        compare_elsewhere(tmp_path / "here", settings, NAME)
    out = tmp_path / "out"
    out.mkdir()
    Place(NAME, state="there").write(out)
    with pytest.raises(RunError, match=f"is on {NAME}, not on other"):
        compare_elsewhere(out, settings, "other")
    Place(NAME, state="gone").write(out)
    with pytest.raises(RunError, match="without --on it goes on here"):
        compare_elsewhere(out, settings, NAME)
    assert not far.folder.exists()


@pytest.fixture
def names(settings, tmp_path) -> Names:
    work = Work(tmp_path / "out", settings)
    return Names(work, Place(NAME, names={"frame-000001": 'b"1, x'}, left_out=("MUELLER.png is damaged",)))


@pytest.mark.parametrize(
    "name",
    [
        "../report.md", "scores/../../x/scores.csv", "/etc/scores.csv", "compare.yaml", "remote.json", ".lock",
        "scores/set-000000/mae/seed-0/x.csv", "pretraining/mae/state.pt", "frames/index.json", "report.md",
    ],
)  # fmt: skip
def test_nothing_else_than_files_of_a_comparison_is_taken(names, name, tmp_path):
    with pytest.raises(RemoteError, match="which is no file of a comparison"):
        place_file(names, name, b"", "/job")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["compare.yaml"]


def test_a_better_model_takes_the_place_of_an_earlier_one_and_nothing_is_brought_twice(settings, tmp_path):
    model, fetched = "finetuning/set-000000/mae/seed-0/model.safetensors", []

    class Says:
        files: ClassVar = {model: [5, 1]}
        content = b"early"

        def ask(self, do, **request):
            return {"files": self.files, "job": "/job", "alive": True, "queue": {}, "output": []}

        @contextmanager
        def answers(self, do, **request):
            fetched.extend(request["names"])
            yield iter([({"name": model, "size": 5}, self.content), ({"all": True}, b"")])

    work, says = Work(tmp_path / "out", settings), Says()

    def followed():
        return comparison._Followed(work, Place(NAME), says, Asked(), Seen())

    followed()._look()
    followed()._look()
    assert fetched == [model]
    says.files, says.content = {model: [5, 2]}, b"best."
    followed()._look()
    path = tmp_path / "out" / "finetuning" / PATIENT / "mae" / "seed-0" / "model.safetensors"
    assert path.read_bytes() == b"best."


def test_things_have_the_names_that_they_have_here(names, data, tmp_path):
    out = tmp_path / "out"
    place_file(names, "scores/set-000000/mae/seed-0/scores.csv", b"frame,group\nframe-000001,0\n", "/job")
    with open(out / "scores" / PATIENT / "mae" / "seed-0" / "scores.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{"frame": 'b"1, x', "group": "0"}]
    event = {"event": "warning", "message": "/job/data/set-000000/images/frame-000001.png is black", "pid": 5}
    half = json.dumps(event).encode() + b'\n{"event": "st'
    place_file(names, "pretraining/mae/events.jsonl", half, "/job")
    (told,) = map(json.loads, (out / "pretraining" / "mae" / "events.jsonl").read_text().splitlines())
    assert told == {"event": "warning", "message": 'b"1, x is black'}
    settings = b"job: finetune\nlabels: /job/data/set-000000/train\nrun: /job/run/finetuning/set-000000/mae\n"
    place_file(names, "finetuning/set-000000/mae/seed-0/config.yaml", settings, "/job")
    written = (out / "finetuning" / PATIENT / "mae" / "seed-0" / "config.yaml").read_text()
    assert f"labels: {data}/train\nrun: {out}/finetuning/{PATIENT}/mae\n" in written
    place_file(names, "frames/facts.json", b'{"frames": 3, "left_out": ["frame-000001.png"]}', "/job")
    assert json.loads((out / "frames" / "facts.json").read_text())["left_out"] == ["MUELLER.png is damaged", 'b"1, x']
    with pytest.raises(RemoteError, match="damaged file"):
        place_file(names, "frames/facts.json", b"[1]", "/job")

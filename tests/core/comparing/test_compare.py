"""A whole comparison in the smallest size: its report, what is not done twice, what a failure or a kill leaves."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from vasomim_core.cli import run as command
from vasomim_core.comparing import work as work_module
from vasomim_core.comparing.report import write_report
from vasomim_core.comparing.settings import Comparison
from vasomim_core.comparing.work import Outcome, Work
from vasomim_core.errors import RunError
from vasomim_core.locks import locked
from vasomim_core.models.catalogue import read_card
from vasomim_core.synthetic import write_samples

SMALLEST = ("--epochs", "1", "--finetuning-epochs", "1", "--seeds", "2", "--fraction", "1", "--input-size", "64")
SMALLEST += ("--batch-size", "4", "--device", "cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "made"
    write_samples(folder, 12, size=128)
    return folder


@pytest.fixture(scope="module")
def comparison(data):
    return Comparison(
        (data,), methods=("frangi", "mae"), seeds=2, fraction=1, minutes=None, epochs=1,
        finetuning_epochs=1, input_size=64, batch_size=4, device="cpu", clustering=True, ablation=("schedule",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(comparison, tmp_path_factory):
    """The folder of a comparison that is done, and the names of the jobs in their order."""
    out, told = tmp_path_factory.mktemp("compared") / "out", []
    work = Work(out, comparison, told.append)
    write_report(work, work.run())
    return out, told


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_scored_and_told(compared):
    out, told = compared
    rows = {row["row"]: row for row in rows_of(out / "tables" / "made.csv")}
    assert list(rows) == ["frangi", "mae", "vasomim", "consistency", "schedule-0-1", "schedule-1-1"]
    assert [row["seeds"] for row in rows.values()] == ["1", *["2"] * 5]
    assert {row["frames"] for row in rows.values()} == {"3"}
    assert float(rows["frangi"]["dsc"]) > 20
    assert [row["less"] for row in rows_of(out / "tables" / "made-differences.csv")] == ["vasomim"] * 2
    report = (out / "report.md").read_text(encoding="utf-8")
    for words in (
        "| MAE |",
        "β 1 → 1",
        "silhouette",
        "Pretrained on 9 frames",
        "not told apart",
        "What pretraining took",
    ):
        assert words in report
    assert "Not done" not in report
    pictures = re.findall(r"\]\((pictures/[^)]+)\)", report)
    assert len(pictures) == 2
    assert all((out / picture).is_file() for picture in pictures)
    assert told[0] == "segmentor"
    assert told.count("segmentor") == 1
    assert len(told) == len(set(told))


def test_rows_are_compared_by_the_seeds_that_both_have(compared, comparison, tmp_path):
    """One row lacks its first seed: its second one must not stand beside the first of the other."""
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    for row, value in (("mae", "10"), ("vasomim", "50")):
        for seed, more in ((0, 0), (1, 5)):
            path = out / "scores" / "made" / row / f"seed-{seed}" / "scores.csv"
            lines = [f"{n},{n},{int(value) + more},{int(value) + more}" for n in range(3)]
            path.write_text("\n".join(["frame,group,dsc,cldice", *lines]) + "\n")
    (out / "scores" / "made" / "mae" / "seed-0" / "scores.csv").unlink()
    work = Work(out, comparison)
    write_report(work, Outcome())
    difference = next(row for row in rows_of(out / "tables" / "made-differences.csv") if row["row"] == "mae")
    assert float(difference["dsc"]) == pytest.approx(-40)


def test_what_is_done_is_not_done_again(compared, comparison, capsys):
    told = []
    work = Work(compared[0], comparison, told.append)
    assert work.run().failures == {}
    assert told == []
    before = (compared[0] / "tables" / "made.csv").read_text()
    assert command(["compare", "--out", str(compared[0]), "--json"]) == 0  # with the settings that the folder has
    assert json.loads(capsys.readouterr().out)["report"] == str(compared[0] / "report.md")
    assert (compared[0] / "tables" / "made.csv").read_text() == before


def test_a_row_that_fails_ends_no_other_and_is_tried_again(comparison, monkeypatch, tmp_path):
    small = replace(comparison, clustering=False, ablation=(), seeds=1)
    real = work_module.pretrain

    def broken(config, *arguments, **named):
        if config.method == "simmim":
            raise RunError("the loss is not finite any more")
        return real(config, *arguments, **named)

    monkeypatch.setattr(work_module, "pretrain", broken)
    work = Work(tmp_path / "out", replace(small, methods=("simmim", "frangi")))
    outcome = work.run()
    assert outcome.failures["pretrain simmim"] == "the loss is not finite any more"
    assert outcome.failures["finetune simmim made seed 0"] == "pretrain simmim failed"
    report = write_report(work, outcome).read_text(encoding="utf-8")
    assert "Not there yet: SimMIM" in report
    assert "- pretrain simmim: the loss is not finite any more" in report
    assert "| Filter |" in report
    monkeypatch.setattr(work_module, "pretrain", real)
    assert Work(tmp_path / "out", replace(small, methods=("simmim", "frangi"))).run().failures == {}


def test_a_job_of_another_process_is_left_to_it(compared, comparison, monkeypatch, tmp_path):
    monkeypatch.setattr(work_module, "BUSY", 0.05)
    told = []
    work = Work(tmp_path / "out", replace(comparison, methods=("frangi", "unet"), ablation=(), seeds=1), told.append)
    (tmp_path / "out" / "turns").mkdir()
    taken, free = threading.Event(), threading.Event()

    def another():
        with locked(tmp_path / "out" / "turns" / "finetune-unet-made-seed-0.lock"):
            taken.set()
            free.wait(60)

    thread = threading.Thread(target=another)
    thread.start()
    taken.wait(60)
    monkeypatch.setattr(work_module.time, "sleep", lambda seconds: free.set())
    assert work.run().failures == {}
    thread.join()
    assert told == ["score frangi made seed 0", "finetune unet made seed 0", "score unet made seed 0"]


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by a signal")
def test_a_killed_comparison_ends_with_the_table_of_an_unbroken_one(data, tmp_path, capsys):
    arguments = ["--data", str(data), "--methods", "mae", "unet", *SMALLEST, "--seeds", "1"]
    assert command(["compare", "--out", str(tmp_path / "unbroken"), *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == []  # what is told on the way is not in it
    program = [sys.executable, "-m", "vasomim_core", "compare", "--out", str(tmp_path / "killed"), *arguments]
    for job in ("pretrain mae", "score mae"):
        with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert any(job in line for line in process.stdout), job
            process.kill()
    assert subprocess.run(program, capture_output=True).returncode == 0
    finetuned = tmp_path / "killed" / "finetuning" / "made"
    cards = [read_card(finetuned / row / "seed-0" / "model.safetensors") for row in ("mae", "unet")]
    assert [card.architecture for card in cards] == ["vit", "unet"]
    for name in ("made.csv", "made-differences.csv"):
        texts = [(tmp_path / folder / "tables" / name).read_text() for folder in ("unbroken", "killed")]
        assert texts[0] == texts[1]


def test_a_comparison_that_cannot_be_is_refused_in_a_sentence(data, tmp_path, capsys):
    assert command(["compare", "--out", str(tmp_path / "out"), "--data", str(data), "--methods", "bert"]) == 1
    assert "no row is called 'bert'" in capsys.readouterr().err
    assert command(["compare", "--out", str(tmp_path / "out")]) == 1
    assert "--data" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

"""Values that no program of ours would write, in cards, settings, events and records; names that lead elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.torture.bench import Bench, command, frame_of, mask_of
from tests.torture.trial import TRAINING, Trial
from vasomim_core.files import write_png
from vasomim_core.labels.labelset import LabelSet

SHARE = 0.1
NESTED = "[" * 100_000 + "]" * 100_000
VALUES = [
    "0", "-1", "1", "1e9", "1000000000", "-1e308", "NaN", "Infinity", "true", "null", "[]", "{}", '""', "[1]", '"3"',
    '"../../x"', '"\\ud800"', '"\\u001b[31m"', '"<img src=x>"', '"' + "x" * 1_000_000 + '"', "9" * 6000, NESTED,
    '{"a": {"b": [null, -1]}}', '[0, 0, 0]', '["a", "b", "c"]', "[1e-300, 1e300, NaN]",
]  # fmt: skip
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 31))


def trials(bench: Bench) -> dict[str, Callable[[Trial], None]]:
    """By name."""
    found: dict[str, Callable[[Trial], None]] = {
        "cards": lambda trial: hostile_card(trial, bench),
        "settings": lambda trial: hostile_settings(trial, bench),
        "records": hostile_record,
        "names": lambda trial: hostile_names(trial, bench),
    }
    if find_spec("napari_vasomim"):
        found["events"] = lambda trial: hostile_events(trial, bench)
    return found


def altered(text: str, random: np.random.Generator) -> str:
    """JSON of an object in which one to three values, at any depth, have become something else."""
    value = json.loads(text)
    given: dict[str, str] = {}
    for k in range(int(random.integers(1, 4))):
        holder: Any = value
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = keys[int(random.integers(len(keys)))]
            inner = holder[key]
            if isinstance(inner, dict | list) and inner and random.random() < 0.7:
                holder = inner
                continue
            given[f"@{k}@"] = VALUES[int(random.integers(len(VALUES)))]
            holder[key] = f"@{k}@"
            break
    text = json.dumps(value)
    for mark, hostile in given.items():
        text = text.replace(f'"{mark}"', hostile)
    return text


def hostile_card(trial: Trial, bench: Bench) -> None:
    """A model file is listed, looked at and used."""
    source, models = bench.undisturbed / "model.safetensors", trial.folder / "models"
    models.mkdir()
    raw = source.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header["__metadata__"]["vasomim"] = altered(header["__metadata__"]["vasomim"], trial.random)
    head = json.dumps(header).encode()
    (models / "hostile.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + raw[8 + size :])
    write_png(trial.folder / "frame.png", frame_of(0))
    listed = trial.run(_with_models, models, "models")
    if listed.code == 0 and "vasomim-fast" not in listed.output:
        trial.fault("loss", f"one card hides the other models: {listed.output[-300:]}")
    segment = ["segment", str(trial.folder / "frame.png"), "--model", str(models / "hostile.safetensors")]
    trial.run(_with_models, models, *segment, "--output", str(trial.folder / "out"), limit=TRAINING)


def hostile_settings(trial: Trial, bench: Bench) -> None:
    """A run whose config.yaml was edited is resumed, and repeated."""
    run = trial.folder / "run"
    run.mkdir()
    kind = int(trial.random.integers(4))
    text = (bench.undisturbed / "config.yaml").read_text()
    if kind == 0:
        text = f"{LAUGHS}job: finetune\nlabels: *a30\n"
    elif kind == 1:
        text = f"job: {VALUES[int(trial.random.integers(len(VALUES)))]}\n"
    else:
        lines = text.splitlines()
        k = int(trial.random.integers(len(lines)))
        lines[k] = lines[k].partition(":")[0] + ": " + VALUES[int(trial.random.integers(len(VALUES)))]
        text = "\n".join(lines)
    (run / "config.yaml").write_text(text)
    trial.run(_load, run)
    if kind < 2:
        trial.run(command, "finetune", "--config", str(run / "config.yaml"), "--run", str(trial.folder / "new"))


def hostile_events(trial: Trial, bench: Bench) -> None:
    """One run among others has events that nobody wrote; the others are listed all the same."""
    for name in ("good", "hostile"):
        shutil.copytree(bench.undisturbed, trial.folder / "runs" / name)
    path = trial.folder / "runs" / "hostile" / "events.jsonl"
    written = path.read_text().splitlines()
    lines = list(written)
    for _ in range(int(trial.random.integers(1, 4))):
        k = int(trial.random.integers(len(written)))
        hostile = [altered(written[k], trial.random), '{"event": "end"}', '{"event": []}', "7", NESTED, "\x00"]
        lines.insert(k, hostile[int(trial.random.integers(len(hostile)))])
    path.write_text("\n".join(lines) + "\n", errors="surrogatepass")
    trial.judged(_list_runs, trial.folder / "runs")


def hostile_record(trial: Trial) -> None:
    """A record, or a file beside the records, that nobody wrote: the others are listed, learned from and added to."""
    folder = trial.folder / "set"
    labels = LabelSet.create(folder, "torture")
    for number in range(3):
        labels.add(frame_of(number), mask_of(number, 0), id=f"f{number}", group=f"g{number}")
    if trial.random.random() < 0.7:
        path = folder / ("records/f0.json", "history/f0/1.json")[int(trial.random.integers(2))]
        path.write_text(altered(path.read_text(), trial.random), errors="surrogatepass")
    else:
        part = ("frames", "masks", "records", "history", "history/f0")[int(trial.random.integers(5))]
        name = ("Icon\r", "f0 (1).json", "a folder", "desktop.ini", "1 (1).png")[int(trial.random.integers(5))]
        make = (os.mkfifo, os.mkdir, Path.touch)[int(trial.random.integers(3))]
        make(folder / part / name)  # type: ignore[operator]
    trial.judged(_use_labels, folder)


def hostile_names(trial: Trial, bench: Bench) -> None:
    """Names that lead elsewhere."""
    name = ("../../x", "/tmp/torture-x", "..", "a/b", "\x1b[31m", "", "x" * 300)[int(trial.random.integers(7))]
    models = trial.folder / "home" / "models"
    models.mkdir(parents=True)
    source = str(bench.undisturbed / "model.safetensors")
    trial.run(_with_models, models, "models", "--add", source, "--name", name)
    outside = [path for path in trial.folder.rglob("*.safetensors") if models not in path.parents]
    if outside or list(Path("/tmp").glob("torture-x*")):
        trial.fault("loss", f"--name {name!r} wrote outside its folder: {outside}")


def _with_models(models: Path, *arguments: str) -> int:
    os.environ["VASOMIM_MODELS"] = str(models)
    return command(*arguments)


def _load(run: Path) -> None:
    from vasomim_core.training.runs import load_config

    load_config(run)


def _list_runs(folder: Path) -> None:
    from napari_vasomim.runs.folder import list_runs
    from vasomim_core.training.events import read_events

    names = [status.run.name for status in list_runs(folder)]
    if "good" not in names:
        print(f"LOST: one run hides the others, {names} are listed")
    list(read_events(folder / "hostile"))


def _use_labels(folder: Path) -> None:
    from vasomim_core.labels.labelled import open_labels

    labels = LabelSet.open(folder)
    found = {record.id for record in labels.records()}
    labels.check()
    if not {"f1", "f2"} <= found:
        print(f"LOST: one record hides others, {sorted(found)} are listed")
    if not {"f1", "f2"} <= {frame.name for frame in open_labels(folder)}:
        print("LOST: one record hides others from training")
    labels.add(frame_of(9), mask_of(9, 1), annotator="judge")

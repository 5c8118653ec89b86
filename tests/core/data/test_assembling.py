"""A data set that is assembled once: what is in it, what is not, and that a kill changes nothing of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from vasomim_core import cli
from vasomim_core.data import assembling
from vasomim_core.data.assembled import FILE, AssembledFrames
from vasomim_core.data.assembling import assemble
from vasomim_core.data.in_order import in_order
from vasomim_core.data.pretraining_frame import pretraining_frame
from vasomim_core.errors import InputError
from vasomim_core.files import write_png
from vasomim_core.reading import read_angiogram

PATIENT = "MUELLER"
IN_IT = ["anatomy.bin", "facts.json", "files.bin", "frames.bin", "index.bin", "remarks.jsonl"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two sources: a run of three frames, stills of which one comes twice, a mask, and a file that is none."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    frames = rng.integers(60, 200, (7, 40, 48), np.uint8)
    (folder / "CADICA" / PATIENT).mkdir(parents=True)
    np.save(folder / "CADICA" / PATIENT / "run.npy", frames[:3])
    for number in range(3, 7):
        write_png(folder / "SYNTAX" / f"{number}.png", frames[number])
    write_png(folder / "SYNTAX" / "7.png", frames[6])
    write_png(folder / "SYNTAX" / "mask.png", (frames[0] > 100).astype(np.uint8) * 255)
    (folder / "CADICA" / f"{PATIENT}.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("assembled") / "set"
    assemble(folder, output, processes=2)
    return output


def contents(output: Path) -> dict[str, bytes]:
    return {name: (output / name).read_bytes() for name in IN_IT}


def test_it_holds_what_a_run_would_read(folder, whole):
    frames = AssembledFrames(whole)
    run = np.load(folder / "CADICA" / PATIENT / "run.npy")
    stills = [read_angiogram(folder / "SYNTAX" / f"{number}.png").grey(0) for number in range(3, 8)]
    pairs = [pretraining_frame(grey) for grey in (*run, *stills)]
    assert len(frames) == len(pairs) == 8
    for (grey, anatomy), (expected, mask) in zip(frames, pairs, strict=True):
        assert np.array_equal(grey, expected)
        assert np.array_equal(anatomy, mask.astype(np.uint8) * 255)
    assert any(anatomy.any() for _, anatomy in frames)


def test_what_is_left_out_is_named_with_its_reason_and_nobody_is_named_in_the_data_set(folder, whole, capsys):
    assert cli.run(["assemble", str(folder), "--output", str(whole), "--check"]) == 3
    told = capsys.readouterr().out
    assert f"{PATIENT}.png is of an unknown kind" in told
    assert "mask.png has no more than two grey levels" in told
    assert "CADICA: 3" in told
    assert "SYNTAX: 5" in told
    assert "1 nearly equal one shortly before, 1 equal an earlier one" in told
    assert not any(name.encode() in content for content in contents(whole).values() for name in (PATIENT, "SYNTAX"))
    files = np.fromfile(whole / "files.bin", FILE)
    assert files["folder"].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
    assert files["frames"].tolist() == [3, 0, 1, 1, 1, 1, 1, 0]


KILLED = """
if __name__ == "__main__":
    import sys
    from pathlib import Path
    from vasomim_core.data import assembling
    assembling.AT_ONCE = 1
    assembling.assemble(*map(Path, sys.argv[1:]), processes=2)
"""


def test_a_killed_assembly_goes_on_and_comes_to_the_same_bytes(folder, whole, tmp_path, monkeypatch):
    output = tmp_path / "set"
    (tmp_path / "killed.py").write_text(KILLED)
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, tmp_path / "killed.py", folder, output], env=os.environ | {"PYTHONPATH": str(root)}
    )
    until = time.monotonic() + 100
    while not ((output / "files.bin").is_file() and (output / "files.bin").stat().st_size >= 2 * FILE.itemsize):
        assert time.monotonic() < until
        time.sleep(0.001)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(helpers, timeout=60)
    assert not any(one.is_running() for one in helpers), "they end with the process that started them"
    with open(output / "frames.bin", "ab") as file:
        file.write(b"half a frame")
    with pytest.raises(InputError, match="is not finished"):
        AssembledFrames(output)
    read = []
    monkeypatch.setattr(
        assembling, "in_order", lambda work, items, n: (read.append(item) or work(item) for item in items)
    )
    assemble(folder, output)
    assert len(read) < 8
    assert contents(output) == contents(whole)


def test_it_is_not_mixed_with_anything_else(folder, whole, tmp_path):
    with pytest.raises(InputError, match="begun with the anatomy robust, not as-released"):
        assemble(folder, whole, "as-released")
    with pytest.raises(InputError, match="begun with other files"):
        assemble(folder / "SYNTAX", whole)
    with pytest.raises(InputError, match="holds something else"):
        assemble(folder, folder)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"bad\.png is of an unknown kind"):
        assemble(tmp_path / "bad.png", tmp_path / "none", processes=1)


@pytest.mark.parametrize("name", ["frames.bin", "anatomy.bin", "index.bin"])
def test_damage_is_noticed(folder, whole, tmp_path, name, capsys):
    output = tmp_path / "set"
    output.mkdir()
    for file in whole.iterdir():
        (output / file.name).write_bytes(file.read_bytes())
    content = bytearray((output / name).read_bytes())
    content[-50] ^= 1
    (output / name).write_bytes(content)
    assert cli.run(["assemble", str(folder), "--output", str(output), "--check"]) == 1
    assert "is damaged" in capsys.readouterr().err
    (output / name).write_bytes(content[:-1])
    with pytest.raises(InputError, match="is damaged"):
        AssembledFrames(output)


def test_what_another_process_began_meanwhile_is_not_taken_over(folder, tmp_path, monkeypatch):
    """Both found nothing there; the other one was faster, with another anatomy."""
    output, locked = tmp_path / "set", assembling.locked

    def after_another(path):
        monkeypatch.setattr(assembling, "locked", locked)
        assemble(folder, output, mode="as-released", processes=1)
        return locked(path)

    monkeypatch.setattr(assembling, "locked", after_another)
    with pytest.raises(InputError, match="begun with the anatomy as-released, not robust"):
        assemble(folder, output, processes=1)
    assert AssembledFrames(output).mode == "as-released"


def test_an_item_that_ends_its_process_does_not_end_the_others():
    ends = "__import__('os')._exit(1)"
    assert list(in_order(eval, ["0", "1", ends, "3", "4"], 2)) == [0, 1, None, 3, 4]

"""What pretraining on a large data set takes, part by part; see docs/scale.md for what it adds up to.

Of a data set that `vasomim assemble` has made (or a small one that is made here): a crop from it against a crop from
its PNG file, memory and start-up for ever more frames, and the assembly by two processes against one, in turns.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
from timing import compare

from vasomim_core.data.assembled import FACTS, INDEX, AssembledFrames, bytes_of, fingerprint
from vasomim_core.data.assembling import assemble
from vasomim_core.data.pretraining_frame import pretraining_frame
from vasomim_core.files import write_json, write_png
from vasomim_core.methods.views import Crop
from vasomim_core.reading import find_angiograms, read_angiogram
from vasomim_core.synthetic import synthesize
from vasomim_core.training.crops import Views


def many(folder: Path, count: int, size: int) -> Path:
    """PNG files of a few rendered frames, turned and with other noise."""
    rng = np.random.default_rng(0)
    drawn = [synthesize((number,), size=size).frame for number in range(min(4, count))]
    for number in range(count):
        noisy = np.rot90(drawn[number % len(drawn)], number % 3) + rng.normal(0, 2, (size, size))
        write_png(folder / f"run{number % 4}" / f"{number}.png", noisy.clip(0, 255).astype(np.uint8))
    return folder


def parts(frames: AssembledFrames, file: Path, rounds: int) -> None:
    """Processor time of what a frame goes through, once and in each epoch."""
    grey, mask = frames[0]
    works = {
        "decode a PNG": (lambda: read_angiogram(file).grey(0), rounds),
        "extract its anatomy": (lambda: pretraining_frame(grey), rounds // 4 + 1),
        "read frame and anatomy from the data set": (lambda: frames[0], 10 * rounds),
        "crop both to 224 px": (lambda: Crop(224)(grey, mask, np.random.default_rng(0)), 10 * rounds),
    }
    for name, (work, times) in works.items():
        work()
        began = time.process_time()
        for _ in range(times):
            work()
        print(f"  {1000 * (time.process_time() - began) / times:.2f} ms to {name}")


def crops(frames: AssembledFrames, files: list[Path], rounds: int) -> None:
    """Frames per second and core into crops of 224 px, and what each part of one takes."""
    views, rng = Views(frames, Crop(224), 0), np.random.default_rng(0)
    chosen = [int(n) for n in rng.integers(0, len(frames), rounds)]

    def from_set() -> None:
        for index in chosen:
            views[0, index]

    def from_files() -> None:
        for index in chosen:
            grey = read_angiogram(files[index % len(files)]).grey(0)
            Crop(224)(grey, grey, np.random.default_rng(index))

    compare(f"{rounds} crops", ("data set", from_set), ("PNG, without anatomy", from_files), repeats=5)
    began = time.process_time()
    from_set()
    print(f"  {rounds / (time.process_time() - began):.0f} crops/s of one core's time")


def growing(folder: Path, place: Path, numbers: list[int]) -> None:
    """Memory and start-up with ever more frames: the same index again and again, over files with holes in them."""
    for number in numbers:
        made = enlarged(folder, place / str(number), number)
        script = (
            "import sys, time, numpy as np, psutil; from pathlib import Path; "
            "from vasomim_core.data.assembled import AssembledFrames; from vasomim_core.methods.views import Crop; "
            "from vasomim_core.training.crops import Views; from vasomim_core.training.seeding import order_stream; "
            "before = psutil.Process().memory_info().rss; began = time.perf_counter(); "
            "frames = AssembledFrames(Path(sys.argv[1])); views = Views(frames, Crop(224), 0); "
            "order = order_stream(0, 0).permutation(len(frames)); views[0, int(order[0])]; "
            "ready = time.perf_counter() - began; [views[0, int(n)] for n in order[: int(sys.argv[2])]]; "
            "print(f'{(psutil.Process().memory_info().rss - before) / 2**20:.1f} MiB, first crop after {ready:.2f} s')"
        )
        said = subprocess.run([sys.executable, "-c", script, made, "500"], capture_output=True, text=True, check=True)
        print(f"{number} frames: {said.stdout.strip()}")
        shutil.rmtree(made)


def enlarged(folder: Path, made: Path, number: int) -> Path:
    """A data set with as many records as asked for; beyond the frames of the first its pixels are holes, read as 0."""
    made.mkdir(parents=True)
    frames = AssembledFrames(folder)
    index = np.resize(frames.index, number)
    index.tofile(made / INDEX)
    shutil.copy(folder / "assembly.json", made)
    for name, sizes in zip(("frames.bin", "anatomy.bin"), bytes_of(index), strict=True):
        with open(made / name, "wb") as file:
            file.truncate(int(sizes.sum()))
    digest = hashlib.sha256(index.tobytes()).hexdigest()
    write_json(made / FACTS, {**frames.facts, "sha256": fingerprint(index), "index": digest})
    return made


def assemblies(data: Path, place: Path, turns: int) -> None:
    """One process and two in turns: frames per hour of the clock and of processor time."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    spent: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(turns):
        for processes in (1, 2):
            output = place / f"{turn}-{processes}"
            times: list[tuple[int, float, float]] = []

            def told(done: int, total: int, times: list[tuple[int, float, float]] = times) -> None:
                times.append((done, time.perf_counter(), cpu()))

            assemble(data, output, processes=processes, progress=told)
            shutil.rmtree(output)
            # After a third of the frames all processes work; their start is not counted, it happens once.
            (first, began, used), (last, ended, all_used) = times[len(times) // 3], times[-1]
            rates[processes].append((last - first) / (ended - began))
            spent[processes].append((all_used - used) / (last - first))
    one, two = (statistics.median(rates[n]) for n in (1, 2))
    ratio = statistics.median(b / a for a, b in zip(rates[1], rates[2], strict=True))
    print(f"assembly: two processes {ratio:.2f}× one ({two:.1f} and {one:.1f} frames/s; median of {turns} turns)")
    for processes in (1, 2):
        seconds = statistics.median(spent[processes])
        print(
            f"  {processes}: {1000 * seconds:.1f} ms of processor time a frame, {3600 / seconds:.0f} an hour and core"
        )
    print(f"  load of the machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


def cpu() -> float:
    """Processor time of this process and those that it started, in seconds."""
    here = psutil.Process()
    total = 0.0
    for process in (here, *here.children(recursive=True)):
        try:
            found = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += found.user + found.system
    return total


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, help="the folder that the data set was assembled of")
    options.add_argument("--dataset", type=Path, help="a finished data set")
    options.add_argument("--turns", type=int, default=5, help="of the assembly; 0 = none")
    options.add_argument("--frames", type=int, default=200, help="of a turn of the assembly")
    options.add_argument("--smallest", action="store_true", help="little work, once: shows that it runs, tells nothing")
    given = options.parse_args()
    cv2.setNumThreads(1)
    frames, turns, size = (3, 1, 64) if given.smallest else (given.frames, given.turns, 512)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        small = many(place / "few", frames, size)
        if turns:
            assemblies(small, place / "turns", turns)
        data, made = given.data, given.dataset
        if data is None or made is None:
            data, made = small, assemble(small, place / "set", processes=1).folder
        parts(AssembledFrames(made), find_angiograms(data)[0], 1 if given.smallest else 30)
        crops(AssembledFrames(made), find_angiograms(data)[:500], 5 if given.smallest else 300)
        growing(made, place / "grown", [6] if given.smallest else [1_000, 10_000, 100_000])


if __name__ == "__main__":
    main()

"""How right masks are that were carried through a run, on synthetic runs with the exact mask of every frame.

    python benchmarks/following.py [--first 10] [--seeds 3] [--size 256] [--frames 40] [--model NAME] [--flicker]

Runs at 15 frames a second, washed out at the end, the table moved in every other one; then the same with every
other frame alone. Anchors are exact masks: of the fullest frame, or of three spread over the run. Constants of
`vasomim_core.following` were chosen on seeds 0 to 5.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from vasomim_core.anatomy.fullest import fullest_frame
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.following import follow, steady
from vasomim_core.following.motion import Evidence, Way, evidence, motion
from vasomim_core.models.registry import load_model
from vasomim_core.reading import Frames
from vasomim_core.synthetic import synthesize_cine

ARMS = ("the model alone", "the nearest anchor, copied", "the nearest anchor, along the flow", "followed")
Masks = NDArray[np.bool_]


def scores(found: list[Masks], truth: Masks) -> tuple[float, float]:
    """Mean DSC in percent over all frames, and over those in which half of the vessels or more are filled."""
    each = 100 * np.array([dsc(a, b) for a, b in zip(found, truth, strict=True)])
    area = truth.sum(axis=(1, 2))
    return float(each.mean()), float(each[area >= area.max() / 2].mean())


def flow_alone(seen: list[Evidence], truth: Masks, anchors: list[int]) -> list[Masks]:
    """The mask of the nearest anchor along the flow, without the model's say in what is vessel."""
    found = []
    for index, here in enumerate(seen):
        nearest = min(anchors, key=lambda a: abs(a - index))
        way = Way.along(motion(here, seen[nearest]), truth.shape[1:])
        found.append(truth[nearest] if index == nearest else way.bring(truth[nearest].astype(np.float32)) > 0.5)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=10, help="first seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=40, help="of each run")
    parser.add_argument("--model", default="vasomim-every")
    parser.add_argument("--flicker", action="store_true", help="what neighbours' say does to the model alone, instead")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model = load_model(options.model, "cpu")
    rows: dict[tuple[str, int, str], list[tuple[float, float]]] = defaultdict(list)
    flicker: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    trusted: list[tuple[float, float]] = []
    beside: list[tuple[float, float]] = []
    for seed in range(options.first, options.first + options.seeds):
        table = 15.0 * (seed % 2)
        run = synthesize_cine((2026, seed), frames=options.frames, size=options.size, injection_ms=1500, table=table)
        said = np.stack([model.predict(frame) for frame in run.frames])
        for rate, step in (("15", 1), ("7.5", 2)):
            frames, truth, q = (stack[::step] for stack in (run.frames, run.masks, said))
            if options.flicker:
                for arm, p in (
                    ("each frame", q),
                    ("with its neighbours", np.stack(list(steady(zip(frames, q, strict=True))))),
                ):
                    flicker[rate, arm].append(steadiness(frames, truth, p, model.threshold))
                continue
            beside.append(scores(list(np.roll(truth, 1, axis=2)), truth))
            n = len(frames)
            opened = Frames(lambda i, frames=frames: frames[i], frames.shape, frames.dtype, Path("run"))
            seen = [evidence(frame, p) for frame, p in zip(frames, q, strict=True)]
            for anchors in ([fullest_frame(opened) or 0], [n // 6, n // 2, 5 * n // 6]):
                nearest = [min(anchors, key=lambda a, i=i: abs(a - i)) for i in range(n)]
                carried = list(follow(frames, {a: truth[a].astype(np.uint8) for a in anchors}, q))
                found = (
                    [p >= model.threshold for p in q],
                    [truth[a] for a in nearest],
                    flow_alone(seen, truth, anchors),
                    [one.mask > 0 for one in carried],
                )
                for arm, masks in zip(ARMS, found, strict=True):
                    rows[rate, len(anchors), arm].append(scores(masks, truth))
                trusted += [(one.trust, dsc(one.mask, truth[one.index])) for one in carried if not one.anchor]
        print(f"seed {seed} of {options.first + options.seeds - 1}", flush=True)
    if options.flicker:
        print("\n| frames a second | probability of | DSC of neighbours along the flow | DSC, all frames | filled |")
        print("|---|---|---|---|---|")
        for (rate, arm), values in flicker.items():
            print(f"| {rate} | {arm} | " + " | ".join(f"{value:.1f}" for value in np.mean(values, axis=0)) + " |")
        return
    print(
        f"\n{model.name}, {options.seeds} runs of {options.frames} frames, {options.size} px; "
        "DSC of all frames / of those half filled or more"
    )
    print("\n| frames a second | anchors | " + " | ".join(ARMS) + " |\n|" + "---|" * (len(ARMS) + 2))
    for rate in ("15", "7.5"):
        for count in (1, 3):
            cells = [np.mean(rows[rate, count, arm], axis=0) for arm in ARMS]
            print(f"| {rate} | {count} | " + " | ".join(f"{a:.1f} / {b:.1f}" for a, b in cells) + " |")
    print("\nThe truth itself, moved by one pixel: {:.1f} / {:.1f}".format(*np.mean(beside, axis=0)))
    trust, right = np.array(trusted).T
    order = np.argsort(trust)
    quarters = ", ".join(f"{100 * part.mean():.0f}" for part in np.array_split(right[order], 4))
    print(
        f"\nTrust and DSC: Spearman {spearmanr(trust, right)[0]:.2f}; "
        f"mean DSC by quarter of trust, lowest first: {quarters}"
    )


def steadiness(
    frames: NDArray[np.uint8], truth: Masks, p: NDArray[np.float32], threshold: float
) -> tuple[float, float, float]:
    """In percent: mean DSC of each mask with the next one brought to it along the flow; then that with the truth."""
    seen = [evidence(frame) for frame in frames]  # by the frames alone: the same flow for both arms
    found = [one >= threshold for one in p]
    ways = [Way.along(motion(a, b), truth.shape[1:]) for a, b in pairwise(seen)]
    alike = [dsc(m, way.bring(np.float32(n)) > 0.5) for m, n, way in zip(found[:-1], found[1:], ways, strict=True)]
    return 100 * float(np.mean(alike)), *scores(found, truth)


if __name__ == "__main__":
    main()

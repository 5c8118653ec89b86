"""What it costs a person to bring masks to a DSC of 0.90: with the brush alone, and with the vessel tools.

    python benchmarks/annotation_cost.py                              # 20 synthetic frames
    python benchmarks/annotation_cost.py --data arcade/syntax/val     # 20 labelled frames, from a folder

A simulated annotator knows the truth and always does what gains most per second, by one planner and one price list in
both arms: 1.1 s a click, 100 px/s along a stroke; a new brush size or threshold is a click as well; a change of tool is
a key, pressed by the other hand while the mouse moves (`--key` gives it a price). Both begin with the prediction or, if
that is quicker, clear it with one click.

Brush: paints along the true centreline and erases along the middle of what is wrong, without a tremor, from anywhere to
anywhere on a branch, or in single dabs, in the size that suits best.
Tools: trace (two clicks), join (one click at a vessel's far end, from which the path leads to what is drawn already),
remove a piece or, with Shift, a branch (one; "prune" in the counts), cut (two), grow (one), and the brush for the rest.
They see the frame and the model's probability, never the truth; the annotator clicks on the true centreline.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree
from skimage.morphology import skeletonize

from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.lumen import painted
from vasomim_core.correction.mask_tools import branch_at, cut, grow, piece_at
from vasomim_core.correction.paths import MinimalPaths
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.labels.labelled import open_labels
from vasomim_core.models.catalogue import DEFAULT_MODEL
from vasomim_core.models.registry import load_model
from vasomim_core.synthetic import synthesize

Mask = NDArray[np.bool_]
Line = NDArray[np.intp]  # (n, 2), 8-connected pixels
Pixels = NDArray[np.intp]  # (n,), flat indices

GOAL = 0.90
CLICK, SPEED = 1.1, 100.0  # s, px/s
PAINT_SIZES = (*range(1, 31), 35, 40, 50)
ERASE_SIZES = (*range(1, 21), 25, 30, 40, 60, 80, 120)
DABS = (10, 20, 40, 80, 120)  # sizes of single dabs of the eraser
JOINED = (0, 12)  # px by which wrong parts are widened, so that one stroke can sweep several
RUN = 6  # px: strokes begin and end at every sixth pixel of a line
LONGEST = 400  # px of one trace
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
MOST_ACTIONS = 300


@dataclass(frozen=True)
class Case:
    """A frame to label."""

    name: str
    frame: NDArray[np.uint8]
    truth: Mask
    probability: NDArray[np.float32]
    start: Mask


@dataclass(frozen=True)
class Action:
    """What a person may do next; `pixels` are flat indices that become vessel or background."""

    kind: str
    pixels: Pixels
    vessel: bool
    seconds: float
    tool: str
    size: float | None = None
    threshold: float | None = None


@dataclass
class Hand:
    """What a person holds: changing it costs clicks."""

    key: float = 0.0  # seconds that a change of tool takes
    tool: str = ""
    size: float = 10
    threshold: float = 0.5

    def seconds(self, clicks: float, tool: str, length: float = 0.0) -> float:
        """The price of clicks, and a stroke of a length in px, with a tool."""
        change = self.key if self.tool not in ("", tool) else 0.0  # which tool comes first is free
        return CLICK * clicks + length / SPEED + change

    def take(self, action: Action) -> None:
        """Hold what the action was done with."""
        self.tool = action.tool
        self.size = self.size if action.size is None else action.size
        self.threshold = self.threshold if action.threshold is None else action.threshold


@dataclass
class Outcome:
    """How it went on one frame."""

    name: str
    before: float
    after: float = 0.0
    seconds: float = 0.0
    actions: Counter[str] = field(default_factory=Counter)


class Canvas:
    """The mask P at work on the truth G, and what each action is worth.

    DSC ≥ goal is 2 |P ∩ G| − goal · |P| ≥ goal · |G|, so that a true pixel is worth 2 − goal, a false one −goal,
    whatever the mask is so far, and `missing` is what has to be gained yet.
    """

    def __init__(self, truth: Mask, start: Mask) -> None:
        self.truth, self.mask = truth, start.copy()
        self.value = (2 * truth - GOAL).astype(np.float32)

    @property
    def dsc(self) -> float:
        """DSC of P and G."""
        return dsc(self.mask, self.truth)

    @property
    def missing(self) -> float:
        """What has to be gained until the DSC is `GOAL`; ≤ 0 when it is."""
        return GOAL * np.count_nonzero(self.truth) - float(self.value[self.mask].sum(dtype=float))

    def gain(self, action: Action) -> float:
        """What an action gains."""
        changed = action.pixels[self.mask.ravel()[action.pixels] != action.vessel]
        return float(self.value.ravel()[changed].sum(dtype=float)) * (1 if action.vessel else -1)

    def worth(self, vessel: bool) -> NDArray[np.float32]:
        """What each pixel gains if it becomes vessel (or background)."""
        return np.where(self.mask != vessel, self.value if vessel else -self.value, 0)

    def do(self, action: Action) -> None:
        """Change the mask."""
        self.mask.ravel()[action.pixels] = action.vessel


def lines_of(skeleton: Mask, shortest: int = 8) -> list[Line]:
    """A skeleton as lines: of each piece the longest one, then the longest that branches off, and so on."""
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats(skeleton.astype(np.uint8), connectivity=8)
    lines = []
    for k in range(1, count):
        left, top, width, height = boxes[k, :4]
        piece = np.ascontiguousarray(pieces[top : top + height, left : left + width] == k)
        lines += [line + np.array([top, left]) for line in _lines_of_piece(piece.tobytes(), piece.shape, shortest)]
    return lines


@lru_cache(maxsize=4096)
def _lines_of_piece(data: bytes, shape: tuple[int, int], shortest: int) -> list[Line]:
    pixels = np.argwhere(np.frombuffer(data, bool).reshape(shape))
    a, b = KDTree(pixels).query_pairs(1.5, output_type="ndarray").T
    steps = coo_array((np.linalg.norm(pixels[a] - pixels[b], axis=1), (a, b)), (len(pixels), len(pixels))).tocsr()

    def farthest(seeds: list[int]) -> tuple[float, list[int]]:
        distance, before, _ = dijkstra(steps, False, seeds, min_only=True, return_predecessors=True)
        line = [int(distance.argmax())]
        while before[line[-1]] >= 0:
            line.append(int(before[line[-1]]))
        return float(distance.max()), line

    _, line = farthest([0])
    _, line = farthest(line[:1])
    lines, covered = [line], list(line)
    while True:
        length, line = farthest(covered)
        if length < shortest:
            return [pixels[line] for line in lines]
        lines.append(line)
        covered += line


def length_of(line: Line) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def stroke(shape: tuple[int, int], line: Line, size: int) -> Pixels:
    """Flat indices of what a round brush covers along a line."""
    canvas = np.zeros(shape, np.uint8)
    for row, column in line[:: max(1, size // 8)].tolist() + line[-1:].tolist():
        cv2.circle(canvas, (column * 16, row * 16), size * 8, 1, cv2.FILLED, shift=4)
    return np.flatnonzero(canvas)


class Brush:
    """Strokes and dabs of the best size, along given lines."""

    def __init__(self, case: Case) -> None:
        self.shape = case.truth.shape
        self.centrelines = lines_of(skeletonize(case.truth))

    def actions(self, canvas: Canvas, hand: Hand) -> Iterator[Action]:
        """What the brush and the eraser could do next."""
        yield from self._strokes(canvas, hand, True, self.centrelines, PAINT_SIZES)
        wrong = (canvas.mask & ~canvas.truth).astype(np.uint8)
        if not wrong.any():
            return
        for by in JOINED:
            joined = cv2.dilate(wrong, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1)))
            lines = lines_of(skeletonize(joined.astype(bool)))
            yield from self._strokes(canvas, hand, False, lines, ERASE_SIZES)
        worth = canvas.worth(False)
        for size in DABS:
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size + 1, size + 1)).astype(np.float32)
            sums = cv2.filter2D(worth, -1, disc, borderType=cv2.BORDER_CONSTANT)
            spot = np.array([np.unravel_index(sums.argmax(), sums.shape)])
            yield self._action(hand, False, spot, size)

    def _action(self, hand: Hand, vessel: bool, line: Line, size: int) -> Action:
        tool = "paint" if vessel else "erase"
        seconds = hand.seconds(1 + (hand.size != size), tool, length_of(line))
        return Action(tool, stroke(self.shape, line, size), vessel, seconds, tool, size)

    def _strokes(
        self, canvas: Canvas, hand: Hand, vessel: bool, lines: list[Line], sizes: tuple[int, ...], most: int = 12
    ) -> list[Action]:
        """The most promising strokes, judged by what is nearest to each pixel of a line."""
        if not lines:
            return []
        away = np.ones(self.shape, np.uint8)
        pixels = np.concatenate(lines)
        away[tuple(pixels.T)] = 0
        distance, nearest = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        worth, missing = canvas.worth(vessel), canvas.missing
        counts = (worth != 0) & (distance <= sizes[-1] / 2)
        bins = len(sizes) * nearest[counts] + np.searchsorted(np.array(sizes) / 2, distance[counts])
        table = np.bincount(bins, worth[counts], len(sizes) * (nearest.max() + 1)).reshape(-1, len(sizes))
        table = table.cumsum(axis=1)
        tool = "paint" if vessel else "erase"
        before = np.array([hand.seconds(1 + (hand.size != size), tool) for size in sizes])
        promising: list[tuple[float, Line, int]] = []
        for line in lines:
            starts = np.arange(0, len(line), RUN)
            ends = np.append(starts[1:], len(line))
            runs = np.add.reduceat(table[nearest[tuple(line.T)]], starts, axis=0)
            total = np.vstack([np.zeros(len(sizes)), runs.cumsum(axis=0)])
            gain = total[None, 1:] - total[:-1, None]  # from run i to run j, by size
            long = length_of(line) * (ends[None] - starts[:, None] - 1) / len(line)
            seconds = before + np.maximum(long, 0)[..., None] / SPEED
            rate = np.where((long >= 0)[..., None], np.minimum(gain, missing) / seconds, -np.inf)
            best = rate.reshape(-1, len(sizes)).argmax(axis=0)
            for k, (i, j) in enumerate(zip(*np.unravel_index(best, long.shape), strict=True)):
                if rate[i, j, k] > 0:
                    promising.append((float(rate[i, j, k]), line[starts[i] : ends[j]], sizes[k]))
        promising.sort(key=lambda one: -one[0])
        return [self._action(hand, vessel, line, size) for _, line, size in promising[:most]]


class VesselTools:
    """Trace, join, remove piece or branch, cut and grow."""

    def __init__(self, case: Case, centrelines: list[Line], apart: int = RUN) -> None:
        self.case, self.cost, self.apart = case, VesselCost(case.frame, case.probability), apart
        self.waypoints = []
        for line in centrelines:
            number = max(1, round(len(line) / apart))
            self.waypoints.append(line[np.linspace(0, len(line) - 1, number + 1).round().astype(int)])
        self.points = [tuple(point) for points in self.waypoints for point in points]
        self._painted: dict[bytes, Pixels] = {}

    @cached_property
    def traces(self) -> list[Pixels]:
        """What two clicks paint, on any two points of a centreline that are not too far apart."""
        traces = []
        for points in self.waypoints:
            chosen = points[:: 2 if len(points) > 2 else 1]  # half as many as for a join, of which there are far fewer
            for i, start in enumerate(chosen[:-1]):
                paths = MinimalPaths.from_point(self.cost, start)
                for end in chosen[i + 1 : i + 1 + LONGEST // (2 * self.apart)]:
                    traces.append(self._paint(paths.to(end)))
        return traces

    def actions(self, canvas: Canvas, hand: Hand) -> Iterator[Action]:
        """What the tools could do next."""
        for kind, clicks, paths in (("trace", 2, self.traces), ("join", 1, self._joined(canvas.mask))):
            for pixels in paths:
                yield Action(kind, pixels, True, hand.seconds(clicks, "trace"), "trace")
        yield from self._removals(canvas, hand)
        for threshold in THRESHOLDS:
            clicks = 1 + (hand.threshold != threshold)
            gained = np.flatnonzero(grow(canvas.mask, self.case.probability, threshold))
            yield Action("grow", gained, True, hand.seconds(clicks, "grow"), "grow", threshold=threshold)

    def _joined(self, mask: Mask) -> Iterator[Pixels]:
        """What one click paints that joins a point of a centreline to what is drawn."""
        if mask.any():
            paths = MinimalPaths.from_mask(self.cost, mask)
            for end in self.points:
                if not mask[end]:
                    yield self._paint(paths.to(end))

    def _paint(self, path: Line) -> Pixels:
        key = path.tobytes()
        if key not in self._painted:
            self._painted[key] = np.flatnonzero(painted(self.cost, path))
        return self._painted[key]

    def _removals(self, canvas: Canvas, hand: Hand) -> Iterator[Action]:
        wrong = (canvas.mask & ~canvas.truth).astype(np.uint8)
        _, pieces = cv2.connectedComponents(canvas.mask.astype(np.uint8), connectivity=8)
        for k in np.unique(pieces[wrong > 0]):
            piece = pieces == k
            if np.count_nonzero(piece & canvas.truth) < np.count_nonzero(piece) / 2:
                pixels = np.flatnonzero(piece_at(canvas.mask, np.argwhere(piece)[0]))
                yield Action("remove", pixels, False, hand.seconds(1, "remove"), "remove")
        # What is wrong and hangs on a vessel: a click on the branch, or a cut through its one neck and one on the rest.
        true = cv2.dilate(canvas.truth.astype(np.uint8), np.ones((5, 5), np.uint8))
        away = cv2.distanceTransform((true == 0).astype(np.uint8), cv2.DIST_L2, 5)
        count, parts, stats, _ = cv2.connectedComponentsWithStats((canvas.mask & (true == 0)).astype(np.uint8))
        for k in range(1, count):
            if stats[k, cv2.CC_STAT_AREA] < 40:
                continue
            part = (parts == k).astype(np.uint8)
            inside = np.argwhere(part)
            by_distance = inside[np.argsort(away[tuple(inside.T)])]
            for point in by_distance[[len(by_distance) // 4, -1]]:
                pixels = np.flatnonzero(branch_at(canvas.mask, point))
                yield Action("prune", pixels, False, hand.seconds(1, "prune"), "prune")
            neck = np.argwhere(cv2.dilate(part, np.ones((3, 3), np.uint8)).astype(bool) & canvas.mask & (part == 0))
            if len(neck) < 2:
                continue
            middle = neck.mean(axis=0)
            a = neck[np.linalg.norm(neck - middle, axis=1).argmax()]
            b = neck[np.linalg.norm(neck - a, axis=1).argmax()]
            reach = (b - a) / max(np.linalg.norm(b - a), 1) * 2
            erased = cut(canvas.mask, a - reach, b + reach)
            inside = np.argwhere(part.astype(bool) & ~erased)
            if not len(inside):
                continue
            point = inside[np.linalg.norm(inside - middle, axis=1).argmax()]
            removed = piece_at(canvas.mask & ~erased, point)
            seconds = hand.seconds(3, "cut") + hand.key  # two clicks for the cut, one on the piece
            yield Action("cut+remove", np.flatnonzero(erased | removed), False, seconds, "remove")


def annotate(case: Case, sources: list[Callable[[Canvas, Hand], Iterable[Action]]], key: float) -> Outcome:
    """Correct one frame until its DSC is `GOAL`: the prediction, or, where that is quicker, a cleared mask."""
    first = correct(case, case.start, sources, Hand(key))
    if not case.start.any():
        return first
    limit = first.seconds - CLICK if first.after >= GOAL else np.inf
    empty = correct(case, np.zeros_like(case.start), sources, Hand(key), limit)
    if empty.after < GOAL:
        return first
    return replace(
        empty, before=first.before, seconds=empty.seconds + CLICK, actions=empty.actions + Counter({"clear": 1})
    )


def correct(
    case: Case,
    start: Mask,
    sources: list[Callable[[Canvas, Hand], Iterable[Action]]],
    hand: Hand,
    limit: float = np.inf,
) -> Outcome:
    """Do, one after the other, what gains most per second; give up after `limit` seconds."""
    canvas = Canvas(case.truth, start)
    outcome = Outcome(case.name, before=canvas.dsc)
    for _ in range(MOST_ACTIONS):
        missing = canvas.missing
        if missing <= 0 or outcome.seconds >= limit:
            break

        def rate(action: Action, missing: float = missing) -> float:
            return min(canvas.gain(action), missing) / action.seconds

        best = max((action for source in sources for action in source(canvas, hand)), key=rate, default=None)
        if best is None or rate(best) <= 0:
            break
        canvas.do(best)
        hand.take(best)
        outcome.seconds += best.seconds
        outcome.actions[best.kind] += 1
    outcome.after = canvas.dsc
    return outcome


def cases(
    data: Path | None, frames: int, first: int, least_width: float, size: int, model: str, from_scratch: bool
) -> Iterator[Case]:
    """Frames at equal distances through the folder, or synthetic ones, from the first on."""
    loaded = load_model(model)
    if data is None:
        drawn = (synthesize([20, first + k], size=size, least_width=least_width) for k in range(frames))
        triples = ((f"synthetic {first + k}", one.frame, one.mask) for k, one in enumerate(drawn))
    else:
        labels = open_labels(data)
        chosen = labels[first :: max(1, len(labels) // frames)][:frames]
        triples = ((one.name, one.frame(), one.mask()) for one in chosen)
    for name, frame, truth in triples:
        probability = loaded.predict(frame)
        start = np.zeros_like(truth) if from_scratch else probability >= loaded.card.preprocessing.threshold
        yield Case(name, frame, truth, probability, start)


def both_arms(case: Case, key: float, apart: int) -> tuple[Outcome, Outcome]:
    brush = Brush(case)
    tools = VesselTools(case, brush.centrelines, apart)
    return annotate(case, [brush.actions], key), annotate(case, [brush.actions, tools.actions], key)


def row(name: str, before: float, brush: list[Outcome], tools: list[Outcome]) -> str:
    """One line of the table; the means of several outcomes."""
    cells = [name, f"{before:.2f}"]
    for arm in (brush, tools):
        counts: Counter[str] = sum((one.actions for one in arm), Counter())
        cells += [
            f"{statistics.mean(one.after for one in arm):.3f}",
            f"{statistics.mean(one.seconds for one in arm):.1f}",
            ", ".join(f"{n / len(arm):.3g} {kind}" for kind, n in sorted(counts.items())),
        ]
    ratio = sum(one.seconds for one in tools) / max(sum(one.seconds for one in brush), 1e-9)
    return "| " + " | ".join([*cells, f"{ratio:.2f}"]) + " |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, help="labelled frames, as for `vasomim finetune`; none = synthetic ones")
    options.add_argument("--frames", type=int, default=20)
    options.add_argument("--first", type=int, default=0, help="number of the first frame")
    options.add_argument(
        "--least-width", type=float, default=2.0, help="px of the thinnest vessel in a synthetic truth"
    )
    options.add_argument("--size", type=int, default=512, help="px of a side of a synthetic frame")
    options.add_argument("--apart", type=int, default=RUN, help="px between points that a tool may be clicked at")
    options.add_argument("--model", default=DEFAULT_MODEL, help="gives the probability and the mask to start from")
    options.add_argument("--from-scratch", action="store_true", help="start from an empty mask")
    options.add_argument("--key", type=float, default=0.0, help="seconds for a change of tool, in both arms")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    brush, tools = [], []
    if not given.json:
        print("| frame | DSC before | brush: DSC | s | actions | tools: DSC | s | actions | ratio |")
        print("|---|---|---|---|---|---|---|---|---|")
    for case in cases(
        given.data, given.frames, given.first, given.least_width, given.size, given.model, given.from_scratch
    ):
        one, other = both_arms(case, given.key, given.apart)
        brush.append(one)
        tools.append(other)
        if not given.json:
            print(row(case.name, one.before, [one], [other]), flush=True)
    before = statistics.mean(one.before for one in brush)
    if given.json:
        arms = {"brush": brush, "tools": tools}
        print(json.dumps({name: [vars(one) for one in arm] for name, arm in arms.items()}, indent=1))
        return
    print(row("mean", before, brush, tools))
    for name, arm in (("brush", brush), ("tools", tools)):
        short = [one.after for one in arm if one.after < GOAL]
        reached = f"; the lowest DSC is {min(short):.3f}" if short else ""
        print(f"{name}: {len(short)} of {len(arm)} frames do not reach {GOAL:.2f}{reached}")


if __name__ == "__main__":
    main()

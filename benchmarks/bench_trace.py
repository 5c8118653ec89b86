"""A trace's cost field and paths against scikit-image's minimal paths on the whole frame."""

from __future__ import annotations

import numpy as np
from skimage.graph import MCP_Geometric
from timing import compare, smallest

from vasomim_core.anatomy import sato
from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.lumen import painted
from vasomim_core.correction.paths import MinimalPaths
from vasomim_core.synthetic import synthesize


def main() -> None:
    repeats = 1 if smallest(__doc__) else 7
    angiogram = synthesize(0)
    cost = 1 / (0.03 + sato(angiogram.frame) / sato(angiogram.frame).max()) ** 2
    points = [tuple(point) for point in np.argwhere(angiogram.centreline)]
    start = min(points, key=lambda point: np.hypot(*np.subtract(point, 256)))
    near = [point for point in points if max(abs(np.subtract(point, start))) < 120]
    close, distant = near[0], max(points, key=lambda point: np.hypot(*np.subtract(point, start)))
    vessels = VesselCost(angiogram.frame)
    paths = MinimalPaths.from_point(vessels, start)

    def whole_frame(end: tuple[int, ...] | None = None) -> None:
        field = MCP_Geometric(cost)
        field.find_costs([start])
        if end:
            field.traceback(end)

    def ahead() -> None:
        MinimalPaths.from_point(vessels, start).look_ahead()

    def beyond() -> None:
        MinimalPaths.from_mask(vessels, marked).to(distant)

    marked = np.zeros_like(angiogram.mask)
    marked[start] = True
    reference = "MCP_Geometric, whole frame"
    compare(
        "start of a trace, 512²",
        ("window", lambda: MinimalPaths.from_point(vessels, start)),
        (reference, whole_frame),
        3,
        repeats,
    )
    compare(
        "path to the cursor, within the window",
        ("to", lambda: paths.to(close)),
        (reference, lambda: whole_frame(close)),
        target=50,
        repeats=repeats,
    )
    path = paths.to(close)
    compare(
        f"path to the cursor and what it would paint, {len(path)} px",
        ("to, painted", lambda: painted(vessels, paths.to(close))),
        (reference, lambda: whole_frame(close)),
        repeats=repeats,
    )
    compare(
        "start of a trace, and looking ahead",
        ("from_point, look_ahead", ahead),
        (reference, lambda: whole_frame(distant)),
        repeats=repeats,
    )
    compare(
        "first path from a drawn vessel",
        ("from_mask, to", beyond),
        (reference, lambda: whole_frame(distant)),
        repeats=repeats,
    )
    paths.look_ahead()
    compare(
        "path beyond the window, once it was looked ahead",
        ("to", lambda: paths.to(distant)),
        (reference, lambda: whole_frame(distant)),
        repeats=repeats,
    )


if __name__ == "__main__":
    main()

"""A trace's cost field and paths against scikit-image's minimal paths on the whole frame."""

from __future__ import annotations

import numpy as np
from skimage.graph import MCP_Geometric
from timing import compare, smallest

from vasomim_core.anatomy import sato
from vasomim_core.correction.tracing import Tracer
from vasomim_core.synthetic import synthesize


def main() -> None:
    repeats = 1 if smallest(__doc__) else 7
    angiogram = synthesize(0)
    cost = 1 / (0.03 + sato(angiogram.frame) / sato(angiogram.frame).max()) ** 2
    points = [tuple(point) for point in np.argwhere(angiogram.centreline)]
    start = min(points, key=lambda point: np.hypot(*np.subtract(point, 256)))
    near = [point for point in points if max(abs(np.subtract(point, start))) < 120]
    close, distant = near[0], max(points, key=lambda point: np.hypot(*np.subtract(point, start)))
    tracer = Tracer(angiogram.frame)
    tracer.start(start)

    def whole_frame(end: tuple[int, ...] | None = None) -> None:
        field = MCP_Geometric(cost)
        field.find_costs([start])
        if end:
            field.traceback(end)

    def ahead() -> None:
        tracer.start(start)
        tracer.look_ahead()

    def beyond() -> None:
        tracer.start_from(marked)
        tracer.path_to(distant)

    marked = np.zeros_like(angiogram.mask)
    marked[start] = True
    reference = "MCP_Geometric, whole frame"
    compare("start of a trace, 512²", ("window", lambda: tracer.start(start)), (reference, whole_frame), 3, repeats)
    tracer.start(start)
    compare(
        "path to the cursor, within the window",
        ("path_to", lambda: tracer.path_to(close)),
        (reference, lambda: whole_frame(close)),
        target=50,
        repeats=repeats,
    )
    path = tracer.path_to(close)
    compare(
        f"path to the cursor and what it would paint, {len(path)} px",
        ("path_to, painted", lambda: tracer.painted(tracer.path_to(close))),
        (reference, lambda: whole_frame(close)),
        repeats=repeats,
    )
    compare(
        "start of a trace, and looking ahead",
        ("start, look_ahead", ahead),
        (reference, lambda: whole_frame(distant)),
        repeats=repeats,
    )
    compare(
        "first path from a drawn vessel",
        ("start_from, path_to", beyond),
        (reference, lambda: whole_frame(distant)),
        repeats=repeats,
    )
    compare(
        "path beyond the window, once it was looked ahead",
        ("path_to", lambda: tracer.path_to(distant)),
        (reference, lambda: whole_frame(distant)),
        repeats=repeats,
    )


if __name__ == "__main__":
    main()

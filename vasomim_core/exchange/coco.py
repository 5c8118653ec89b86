"""COCO, for programs that know classes as categories, in the layout of an ARCADE split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import LabelClass
from vasomim_core.exchange.handover import Written, each_case, new_folder, nothing
from vasomim_core.files import write_json, write_png
from vasomim_core.labels.arcade import OTHER, OURS
from vasomim_core.labels.origins import origin_to
from vasomim_core.labels.run_lengths import RunLengths, packed
from vasomim_core.labels.sources import LabelledFolder
from vasomim_core.reading.folders import Progress


def write_coco(folder: LabelledFolder, output: Path, progress: Progress = nothing) -> Written:
    """Write frames and their masks as COCO into a folder that is new or empty.

    It gets `images/NAME.png`, the frames as they are, and `annotations/<name of the folder>.json`: a category for each
    class, with its value as id, its name, its colour as `color` and "vessel" or "other" as `supercategory`; for each
    class in a frame one annotation in COCO's packed run lengths. An image also has its `group` and, in a run, its
    `frame_index`, where they are known. `open_labels(output, categories=True)` gives equal frames, masks, classes and
    groups.

    Args:
        folder: what is written.
        output: where to; it appears when all is written.
        progress: called after each frame.

    Raises:
        LabelError: there are no frames, masks do not fit, or the folder is not empty or cannot be written to.
        InputError: a frame or a mask is missing or damaged.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with new_folder(output) as made:
        for number, case in enumerate(each_case(folder, progress), 1):
            file = f"{case.name}.png"
            write_png(made / "images" / file, case.frame)
            height, width = case.mask.shape
            size = {"id": number, "file_name": file, "height": height, "width": width}
            images.append({**size, **origin_to(case.origin)})
            for value in np.unique(case.mask[case.mask > 0]).tolist():
                which = {"id": len(annotations) + 1, "image_id": number, "category_id": value}
                annotations.append({**which, **_region(case.mask == value)})
        categories = [_category(one) for one in folder.classes()]
        document = {"info": {"description": OURS}, "images": images, "categories": categories}
        write_json(made / "annotations" / f"{output.resolve().name}.json", {**document, "annotations": annotations})
    return Written((output,), len(images), tuple(Path(one["file_name"]).stem for one in images), folder.notes())


def _category(one: LabelClass) -> dict[str, Any]:
    supercategory = "vessel" if one.vessel else OTHER
    return {"id": one.value, "name": one.name, "supercategory": supercategory, "color": list(one.rgb)}


def _region(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """What COCO says of some pixels; the box is x, y, width, height."""
    y, x = np.nonzero(mask)
    box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
    lengths = RunLengths.of(mask)
    segmentation = {"size": list(lengths.size), "counts": packed(lengths.counts)}
    return {"segmentation": segmentation, "area": int(y.size), "bbox": box, "iscrowd": 0}

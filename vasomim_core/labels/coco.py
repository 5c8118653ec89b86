"""A label set as COCO, for programs that know its classes as categories, in the layout of an ARCADE split."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.files import atomic, write_json
from vasomim_core.labels.arcade import OTHER
from vasomim_core.labels.reader import LabelReader
from vasomim_core.labels.run_lengths import RunLengths, packed
from vasomim_core.labels.sources import CuratedFolder


def write_coco(labels: LabelReader, folder: Path | str) -> list[str]:
    """Write the accepted frames of a label set and their masks into a folder that is new or empty.

    It gets `images/<id>.png`, the frames as they are, and `annotations/<name of the folder>.json`: a category for each
    class, with its value as id, its name, its colour as `color` and "vessel" or "other" as `supercategory`; for each
    class in a frame one annotation in COCO's packed run lengths. `open_labels(folder, categories=True)` gives equal
    frames, masks and classes. Groups have no place in COCO: split by group before.

    Args:
        labels: What is written; what is damaged in it is left out, and `labels.listing` names it.
        folder: Where to. The JSON comes last: without it the folder was cut off.

    Returns:
        Ids of the frames that were written.

    Raises:
        LabelError: no frame is accepted, a mask cannot be read, or the folder is not empty or cannot be written to.
        InputError: a frame or a mask is missing or damaged.
    """
    folder, curated = Path(folder), CuratedFolder(labels.folder)
    sources = curated.sources()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    try:
        if folder.exists() and any(folder.iterdir()):
            raise LabelError(f"{folder} is not empty: choose a new folder.")
        for number, source in enumerate(sources, 1):
            mask = source.masks().class_mask(0)
            with atomic(folder / "images" / source.path.name) as image:
                shutil.copyfile(source.path, image)
            height, width = mask.shape
            images.append({"id": number, "file_name": source.path.name, "height": height, "width": width})
            for value in np.unique(mask[mask > 0]).tolist():
                which = {"id": len(annotations) + 1, "image_id": number, "category_id": value}
                annotations.append({**which, **_region(mask == value)})
        categories = [_category(one) for one in curated.classes()]
        document = {"images": images, "categories": categories, "annotations": annotations}
        write_json(folder / "annotations" / f"{folder.resolve().name}.json", document)
    except OSError as error:
        raise LabelError(f"{folder} could not be written to ({error.strerror or error}): choose another.") from error
    return [source.name for source in sources]


def _category(one: LabelClass) -> dict[str, Any]:
    rgb = [int(one.colour[place : place + 2], 16) for place in (1, 3, 5)]
    return {"id": one.value, "name": one.name, "supercategory": "vessel" if one.vessel else OTHER, "color": rgb}


def _region(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """What COCO says of some pixels; the box is x, y, width, height."""
    y, x = np.nonzero(mask)
    box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
    lengths = RunLengths.of(mask)
    segmentation = {"size": list(lengths.size), "counts": packed(lengths.counts)}
    return {"segmentation": segmentation, "area": int(y.size), "bbox": box, "iscrowd": 0}

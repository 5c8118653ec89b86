"""`images/` and `masks/`: plain PNG of equal names, with `classes.json` and `frames.json` for what PNG cannot say."""

from __future__ import annotations

from pathlib import Path

from vasomim_core.exchange.handover import Written, each_case, new_folder, nothing
from vasomim_core.files import write_json, write_png
from vasomim_core.labels.class_list import CLASSES, write_classes
from vasomim_core.labels.origins import ORIGINS, origins_to
from vasomim_core.labels.sources import LabelledFolder
from vasomim_core.reading.folders import Progress


def write_pairs(folder: LabelledFolder, output: Path, progress: Progress = nothing) -> Written:
    """Write `images/NAME.png` and `masks/NAME.png`, 8 bit with class values, into a folder that is new or empty.

    `classes.json` names the values, `frames.json` has groups and places in runs. `open_labels` gives equal frames,
    masks, classes and groups.

    Args:
        folder: what is written.
        output: where to; it appears when all is written.
        progress: called after each frame.

    Raises:
        LabelError: there are no frames, masks do not fit, or the folder is not empty or cannot be written to.
        InputError: a frame or a mask is missing or damaged.
    """
    origins = {}
    with new_folder(output) as made:
        for case in each_case(folder, progress):
            write_png(made / "images" / f"{case.name}.png", case.frame)
            write_png(made / "masks" / f"{case.name}.png", case.mask)
            origins[case.name] = case.origin
        write_json(made / ORIGINS, origins_to(origins))
        write_classes(made / CLASSES, folder.classes())
    return Written((output,), len(origins), tuple(origins), folder.notes())

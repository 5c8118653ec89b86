"""What must hold before the classes of a label set may change: no mask loses its meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np

from vasomim_core.classes import of_value
from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.files import write_png
from vasomim_core.labels.folder import LabelFolder
from vasomim_core.labels.history import Classes, as_png
from vasomim_core.labels.mask import as_class_mask
from vasomim_core.labels.mask_file import MaskFile


def prepare(folder: LabelFolder, old: Classes, new: Classes) -> None:
    """Make sure that every mask means under other classes what it means now; the caller holds the lock of the set.

    Names, colours and what counts as vessel may change. A class that a current mask or a revision has must stay, and,
    once there is a label, so must the smallest value: 255 stands for it, and by it masks are known again. In a set of
    one class any value is that class: where several come, a mask of which another program has written such a value is
    written again.

    Raises:
        LabelError: a mask would lose its meaning.
        OSError: a mask cannot be written.
    """
    if old[0].value != new[0].value and (folder.ids() or folder.histories()):
        raise LabelError(
            f"{folder.path} has labels, whose plain masks have the smallest value, {old[0].value} ({old[0].name}): "
            "keep a class of that value, under any name, and give others larger ones."
        )
    known = {0, 255, *(one.value for one in new)}
    if any(one.value not in known for one in old):
        uses = Counter(value for values in _values(folder) for value in values - known)
        for value, count in sorted(uses.items()):
            lost = of_value(old, value)
            raise LabelError(
                f"{f'Class {lost.name}' if lost else f'The value {value}, of no class,'} is in {count} "
                f"label{'s' * (count > 1)} of {folder.path}, or in earlier revisions of them, or second readings: keep "
                "it, or rename it."
            )
    if len(old) == 1 < len(new):
        _write_again(folder, old)


def _values(folder: LabelFolder) -> Iterator[set[int]]:
    """For each label the values that are in its masks, also the earlier ones; damaged ones count as empty."""
    for id in dict.fromkeys([*folder.masks(), *folder.histories(), *folder.read_again()]):
        values: set[int] = set()
        for place in (
            partial(folder.mask, id),
            *(partial(folder.revision, id, number, ".png") for number in folder.numbers(id, ".png")),
            *(partial(folder.reading, id, number, ".png") for number in folder.reading_numbers(id, ".png")),
        ):
            try:
                values.update(np.unique(MaskFile(place()).page(0)).tolist())
            except VasoMIMError:
                continue
        yield values


def _write_again(folder: LabelFolder, old: Classes) -> None:
    for id in folder.masks():
        try:
            path = folder.mask(id)
            page = MaskFile(path).page(0)
            mask = as_class_mask(page, old, where=str(path))
        except VasoMIMError:
            continue  # damaged, which `check` reports
        if not np.isin(page, [0, 255, old[0].value]).all():
            write_png(path, as_png(mask, old))

"""What a panel shows of guided masking as a script: from the angiogram's file to the same arrays."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_vasomim.background.threads import run_in_background
from napari_vasomim.canvas import layers
from napari_vasomim.masking.answers import Asked
from napari_vasomim.notify import copy, inform
from vasomim_core.files import write_png
from vasomim_core.reading import GreyLevels, read_angiogram


def copy_snippet(parent: QWidget, asked: Asked) -> None:
    """Put the script into the clipboard, once its frame is found to be in a file.

    Where the angiogram has no file, or that file's frame is not the one that is shown, the person is asked where the
    frame may be kept.

    Args:
        parent: whom it concerns.
        asked: the settings.
    """
    layer = asked.vessels.layer
    source = layers.path_of(layer)
    inverted = asked.vessels.key[2]

    def found(there: bool) -> None:
        if there and source is not None:
            _copy(snippet(source, asked.vessels.index, inverted, asked))
        elif path := _ask_where(parent):
            write_png(path, asked.vessels.frame)
            _copy(snippet(path, 0, False, asked))

    run_in_background(parent, lambda: _holds(source, inverted, asked), found)


def snippet(path: Path, index: int, inverted: bool, asked: Asked) -> str:
    """A script that reads a frame and leaves a `MaskingResult` in `result`.

    Args:
        path: of the angiogram.
        index: which of its frames.
        inverted: its vessels are bright.
        asked: the settings.
    """
    schedule = ", ".join(f"{f.name}={getattr(asked.schedule, f.name)!r}" for f in fields(asked.schedule))
    negative = "frame = 255 - frame  # its vessels are bright\n" if inverted else ""
    model = f", model={asked.model!r}" if asked.model else ""
    return f"""\
from vasomim_core.reading import read_angiogram
from vasomim_core.inference.frame_masking import mask_frame
from vasomim_core.masking.schedule import MaskingSchedule

frame = read_angiogram({str(path.absolute())!r}).grey({index})
{negative}schedule = MaskingSchedule({schedule})
result = mask_frame(frame, schedule, epoch={asked.epoch}, anatomy={asked.vessels.mode!r}{model})
for name, array in result.arrays().items():  # also result.mask.f, result.over_epochs.masking_ratio, …
    print(name, array.dtype, array.shape)
"""


def _holds(source: Any, inverted: bool, asked: Asked) -> bool:
    """Whether a file holds the frame as it is shown."""
    try:
        frame = read_angiogram(source).grey(asked.vessels.index, GreyLevels(bright_vessels=inverted))
    except Exception:  # no file, a folder, one that is gone: whatever it is, it does not hold the frame
        return False
    return np.array_equal(frame, asked.vessels.frame)


def _ask_where(parent: QWidget) -> Path | None:
    title = "The shown frame is in no file: where may it be kept?"
    path, _ = QFileDialog.getSaveFileName(parent, title, "frame.png", "PNG (*.png)")
    return Path(path).with_suffix(".png") if path else None


def _copy(script: str) -> None:
    copy(script)
    inform("The script is in the clipboard; it names the angiogram's file.")

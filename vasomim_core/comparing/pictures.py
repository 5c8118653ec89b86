"""Pictures of a comparison: what each row finds in the same frames, and what each schedule masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vasomim_core.comparing.datasets import DataSet
from vasomim_core.comparing.rows import Row
from vasomim_core.comparing.scoring import shown
from vasomim_core.comparing.standing import PICTURES
from vasomim_core.comparing.work import Work
from vasomim_core.data.pretraining_frame import pretraining_frame
from vasomim_core.figures import Curve, Panel, Plot, overlay, save_panels
from vasomim_core.inference.frame_masking import FrameMasking
from vasomim_core.labels.labelled import LabelledFrame
from vasomim_core.masking.schedule import MaskingSchedule

SIDE = 320
SCHEDULES = (("β 0 → 0", 0.0, 0.0), ("β 0 → 0.5", 0.0, 0.5), ("β 0 → 1", 0.0, 1.0), ("β 1 → 1", 1.0, 1.0))
COLOURS = ("#4a86c5", "#ff9d3c", "#35a86b", "#e2604f")
LABEL = (255, 180, 40)


def save_contact_sheet(work: Work, one: DataSet, rows: Sequence[Row]) -> str | None:
    """A row of pictures for each shown frame: the frame, its label, and the mask of each row's first seed.

    Returns:
        The file's name in the folder of pictures; None where there is nothing to show.
    """
    frames = work.reported(one)
    panels: list[Panel | Plot] = []
    for place in shown(len(frames)):
        grey, truth = frames[place].frame(), frames[place].mask()
        panels.append(Panel("frame" if not panels else "", _small(grey), limits=(0, 255)))
        panels.append(Panel("label" if len(panels) == 1 else "", overlay(_small(grey), _small_mask(truth), LABEL)))
        for row in rows:
            path = work.scored(row, one, 0) / f"{place}.png"
            found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            mask = np.zeros(grey.shape, bool) if found is None or found.shape != grey.shape else found > 127
            title = row.title if len(panels) < 2 + len(rows) else ""
            panels.append(Panel(title, overlay(_small(grey), _small_mask(mask))))
    if not rows or not panels:
        return None
    (work.out / PICTURES).mkdir(exist_ok=True)
    name = f"{one.name}.png"
    save_panels(work.out / PICTURES / name, panels, 2 + len(rows))
    return name


def save_schedules(work: Work) -> str | None:
    """The masking ratio of one frame under each schedule, and how much of its vessels is masked over the epochs."""
    frame = _fullest(work)
    if frame is None:
        return None
    grey, anatomy = pretraining_frame(frame.frame())
    panels: list[Panel | Plot] = [Panel("anatomy", overlay(grey, anatomy), limits=(0, 255))]
    curves = []
    for (name, start, end), colour in zip(SCHEDULES, COLOURS, strict=True):
        schedule = MaskingSchedule(input_size=work.comparison.input_size, beta_start=start, beta_end=end)
        over = FrameMasking(grey, anatomy, schedule).over_epochs()
        panels.append(Panel(name, over.masking_ratio, colours="viridis", limits=(0, 1), bar=True))
        curves.append(Curve(name, over.epochs, over.vessel_patches, colour))
    panels.append(Plot("vessel patches masked", curves, "epoch", (0, 1)))
    (work.out / PICTURES).mkdir(exist_ok=True)
    save_panels(work.out / PICTURES / "schedules.png", panels, 3, "Share of the epochs in which each patch is masked")
    return "schedules.png"


def _fullest(work: Work) -> LabelledFrame | None:
    frames = [frame for one in work.sets for frame in work.reported(one)]
    return max(frames, key=lambda frame: frame.vessel, default=None)


def _small(grey: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _small_mask(mask: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(mask.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST), np.uint8) > 0

"""Held-out frames by the model that a run started from and by the one it made, side by side, with their DSC."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QDialog, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from napari_vasomim.background import engine
from napari_vasomim.background.sequencer import Sequencer
from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.plain import Marked, plain_label
from napari_vasomim.widgets.kit import SPACE, Progress, header, hint
from vasomim_core.classes import vessel_of
from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import RunError, VasoMIMError
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.figures import overlay
from vasomim_core.inference.requests import Segment, Segmentation
from vasomim_core.labels.labelled import LabelledFrame, labels_fingerprint, open_labels
from vasomim_core.labels.splitting import training_and_validation
from vasomim_core.models.catalogue import find_model, read_card
from vasomim_core.models.class_mask import Probabilities
from vasomim_core.training.run_data import read_run_data
from vasomim_core.training.runs import MODEL, load_config

SHOWN = 8
"""Frames that are shown; the means are of all."""
SIDE = 230
"""Of a picture, in pixels."""
NO_BEFORE = "The run did not start from a model that segments, so that there is no before."
CHANGED = "Labels were added or changed since the run, so that some of these frames may have been learned from."
SINCE = "Labels were added or changed since the run: these are the frames that it held out, as they are labelled now."
RIGHT, MISSED, EXTRA = "#1fc8db", "#ffb000", "#ff4fa3"


class BeforeAfter(QDialog):
    """A window of its own; frames are segmented in the inference child, one by one.

    Args:
        run: the folder of a finetuning run.
        parent: the panel that opens it.
    """

    def __init__(self, run: Path, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(f"Before and after: {run.name}")
        self.resize(3 * SIDE + 80, 640)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._run = run
        self.before: list[float] = []
        self.after: list[float] = []
        layout = QVBoxLayout(self)
        self.notes = hint()
        self.notes.hide()
        self.summary = hint("Reading the held-out frames…")
        layout.addWidget(self.summary)
        layout.addWidget(self.notes)
        layout.addWidget(
            Marked(
                f"<span style='color:{RIGHT}'>■</span> found&nbsp;&nbsp; "
                f"<span style='color:{MISSED}'>■</span> missed&nbsp;&nbsp; "
                f"<span style='color:{EXTRA}'>■</span> not a vessel in the label"
            )
        )
        self.progress = Progress(self.close)
        layout.addWidget(self.progress)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        inside = QWidget()
        self._grid = QGridLayout(inside)
        self._grid.setSpacing(SPACE)
        for column, text in enumerate(("angiogram", "before", "after")):
            self._grid.addWidget(header(text), 0, column)
        self._grid.setColumnStretch(3, 1)
        self._grid.setRowStretch(SHOWN + 1, 1)
        scroll.setWidget(inside)
        layout.addWidget(scroll, 1)
        self._frames: list[LabelledFrame] = []
        self._models: dict[int, str] = {}  # by column: before, after
        self._labelled: frozenset[str] = frozenset()
        self._reading = LatestRequest(self, self._begin, self._failed)
        self._reading.ask(self._read)

    def _read(self) -> tuple[list[LabelledFrame], dict[int, str], list[str]]:
        config = load_config(self._run)
        if not isinstance(config, FinetuneConfig):
            raise RunError(f"{self._run.name} is no finetuning run; choose one")
        held_out, changed = _held_out(self._run, config)
        record = read_run_data(self._run)
        if record is not None and record.classes:
            self._labelled = frozenset(one["name"] for one in record.classes if one["value"] in record.labelled)
        models = {1: str(self._run / MODEL)}
        with suppress(VasoMIMError):  # an encoder alone cannot segment, and a model may have been removed since
            if config.init and read_card(find_model(config.init)).segments:
                models = {0: str(find_model(config.init)), **models}
        notes = [] if 0 in models else [NO_BEFORE]
        return held_out, models, notes + ([changed] if changed else [])

    def _begin(self, found: tuple[list[LabelledFrame], dict[int, str], list[str]]) -> None:
        self._frames, self._models, notes = found
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes))
        places = [(row, column) for row in range(len(self._frames)) for column in self._models]
        Sequencer(
            self, places, self._ask, self._compare, self.progress.hide, self._failed, self.progress.show_step
        ).start()

    def _ask(self, place: tuple[int, int]) -> Future[Segmentation]:
        row, column = place
        labelled = self._frames[row]
        self._pair = frame, _ = labelled.frame(), np.asarray(labelled.mask(), bool)  # they may have gone since
        if row < SHOWN and column == min(self._models):
            self._show(row, 0, frame, labelled.name)
        return engine.shared().call(Segment(frame, self._models[column]))

    def _compare(self, place: tuple[int, int], answer: Segmentation) -> None:
        (row, column), (frame, truth) = place, self._pair
        found = _labelled_part(answer, self._labelled)
        score = 100 * dsc(found, truth)
        (self.before, self.after)[column].append(score)
        if row < SHOWN:
            self._show(row, column + 1, _compared(frame, found, truth), f"DSC {score:.1f}")
        self._summarise()

    def _summarise(self) -> None:
        parts = [
            f"{word} {np.mean(scores):.1f}"
            for word, scores in (("before", self.before), ("after", self.after))
            if scores
        ]
        count = max(len(self.before), len(self.after))
        self.summary.setText(f"Mean DSC on {count} held-out frame{'s' if count != 1 else ''}: {', '.join(parts)}")

    def _show(self, row: int, column: int, image: NDArray[np.uint8], caption: str) -> None:
        cell = QWidget()
        layout = QVBoxLayout(cell)
        layout.setContentsMargins(0, 0, 0, SPACE)
        picture = plain_label()
        picture.setPixmap(_pixmap(image))
        layout.addWidget(picture)
        layout.addWidget(plain_label(caption))
        self._grid.addWidget(cell, row + 1, column, Qt.AlignmentFlag.AlignTop)

    def _failed(self, error: Exception) -> None:
        self.progress.hide()
        self.summary.setText(str(error))


def _labelled_part(answer: Segmentation, labelled: frozenset[str]) -> NDArray[np.bool_]:
    """What a model found of the vessels that the labels have: of some classes alone, where it tells them apart."""
    named = [one for one in answer.rules.classes if one.name in labelled and one.vessel]
    if not named or len(answer.rules.classes) == 1:
        return answer.probability >= answer.threshold
    return vessel_of(answer.rules.mask(Probabilities(answer.probability, answer.classes), answer.threshold), named)


def _held_out(run: Path, config: FinetuneConfig) -> tuple[list[LabelledFrame], str]:
    """The frames that a run was judged on, as they are labelled now, and what to say where labels have changed since.

    Raises:
        LabelError: the labels cannot be read.
        RunError: none of these frames is there any more.
    """
    record = read_run_data(run)
    labels = open_labels(config.labels, categories=config.categories)
    val = None if config.val is None else open_labels(config.val, categories=config.categories)
    if record is None:  # of a run by an older version: its draw is repeated
        learned, held_out = training_and_validation(labels, val, config.fraction, config.training.seed)
        same = read_card(run / MODEL).data.get("sha256") == labels_fingerprint(learned)
        return held_out, "" if same else CHANGED
    frames = [*labels, *(val or ())]
    judged = {item.get("frame_sha256") for item in record.items.values() if item.get("validation")}
    found = {one.frame_sha256: one for one in frames if one.frame_sha256 in judged}
    if not found:
        raise RunError(f"none of the frames that {run.name} held out is among its labels any more")
    now = {(one.frame_sha256, one.mask_sha256) for one in frames}
    then = {(item.get("frame_sha256"), item.get("mask_sha256")) for item in record.items.values()}
    return list(found.values()), "" if now == then else SINCE


def _compared(frame: NDArray[np.uint8], found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The frame (H, W) with what is right, missed and extra in three colours, uint8 (H, W, 3)."""
    rgb = np.repeat(frame[..., None], 3, axis=2)
    for mask, colour in ((found & truth, RIGHT), (truth & ~found, MISSED), (found & ~truth, EXTRA)):
        red, green, blue = ImageColor.getrgb(colour)[:3]
        rgb[mask] = overlay(frame, mask, (red, green, blue))[mask]
    return rgb


def _pixmap(image: NDArray[np.uint8]) -> QPixmap:
    picture = ImageOps.contain(Image.fromarray(image).convert("RGB"), (SIDE, SIDE))
    data = np.ascontiguousarray(picture)
    height, width = data.shape[:2]
    return QPixmap.fromImage(QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888))

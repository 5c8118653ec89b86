"""What a model found in the shown angiogram, kept for others: a film, pictures, or DICOM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_vasomim.background.long_work import LongWork
from napari_vasomim.canvas import frames, layers
from napari_vasomim.notify import counted, inform
from napari_vasomim.plain import confirmed
from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets.kit import SPACE, Progress, button, follow
from vasomim_core.classes import ClassMask, LabelClass
from vasomim_core.errors import InputError
from vasomim_core.exchange.dicom_objects import NAMES_PATIENT
from vasomim_core.exchange.formats import OUTGOING, To, hand_over
from vasomim_core.exchange.handover import Written
from vasomim_core.exchange.pictures import Style
from vasomim_core.files import stamp
from vasomim_core.labels.mask_file import Masks
from vasomim_core.labels.sources import OpenMasks, Source
from vasomim_core.reading import Angiogram, Frames

FILMS: tuple[To, ...] = ("mp4", "gif")
OTHERS: tuple[To, ...] = ("tiff", "png", "dicom-seg", "dicom-outlines")


class FoundMasks(Masks):
    """The masks of a prediction, as they are shown when this is made."""

    def __init__(self, prediction: Prediction):
        self._shown = prediction.as_shown()
        self.classes = self._shown.classes

    def __len__(self) -> int:
        return self._shown.shape[0]

    def class_mask(self, index: int) -> ClassMask:
        """What is shown of a frame, uint8 (H, W)."""
        return self._shown.class_mask(index)


@dataclass(frozen=True)
class ShownMasks:
    """An angiogram as it is worked on with what a model found in it, to be handed over like a labelled folder."""

    layer: Image
    prediction: Prediction

    def classes(self) -> tuple[LabelClass, ...]:
        """Those of the model."""
        return self.prediction.classes

    def sources(self) -> list[Source]:
        """The one angiogram, with the frames that were segmented."""
        masks, path = FoundMasks(self.prediction), layers.path_of(self.layer) or Path(self.layer.name)
        only, model = tuple(self.prediction.frames), self.prediction.said_by
        return [Source(path.stem, path, lambda: masks, only=only, model=model, opened=self._angiogram)]

    def masks(self) -> Mapping[str, OpenMasks]:
        """Those of the one angiogram."""
        return {source.name: source.masks for source in self.sources()}

    def notes(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def require_file(self) -> None:
        """Make sure that the angiogram is that of its file: what refers to a file must not refer to another one.

        Raises:
            InputError: it is not known to be.
        """
        known = layers.facts(self.layer)
        if known.path is None or stamp(known.path) != known.stamp:
            raise InputError(
                f"{self.layer.name} is not known to be what its file holds now, and DICOM refers to a file: open the "
                "DICOM file again, with the reader VasoMIM."
            )

    def _angiogram(self) -> Angiogram:
        """The frames as the model saw them."""
        layer = self.layer
        shape = (frames.frame_count(layer), *frames.frame_size(layer))
        path = layers.path_of(layer) or Path(layer.name)
        seen = Frames(lambda index: frames.grey(layer, index), shape, "uint8", path)
        return Angiogram(seen, path, frame_time_ms=layers.facts(layer).frame_time_ms)


class ShownExport(QWidget):
    """A button, and how far the work is.

    Args:
        shown: gives what is shown; raises an `InputError` where nothing is.
        frame: gives the frame that is shown, from 0.
        outline: tells whether the border of the vessels is shown alone.
    """

    def __init__(self, shown: Callable[[], ShownMasks], frame: Callable[[], int], outline: Callable[[], bool]):
        super().__init__()
        self._shown, self._frame, self._outline = shown, frame, outline
        self._there = False
        self.button = button(
            "Export…", self.ask, "The frames with what is shown over them: a film, pictures, or a DICOM Segmentation"
        )
        self.work = LongWork(self, lambda: inform("The export was cancelled; nothing is left of it."))
        self.progress = Progress(self.work.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE)
        column.addWidget(self.button)
        column.addWidget(self.progress)
        follow(self, self.work.stepped, lambda done, total: self.progress.show_step(done, total, "frame %v of %m"))
        follow(self, self.work.ended, self._ended)

    def enable(self, there: bool) -> None:
        """Let what is shown be exported, or not."""
        self._there = there
        self.button.setEnabled(there and not self.work.busy)

    def ask(self) -> None:
        """Ask where to and as what, then write."""
        shown = self._shown()
        run = frames.frame_count(shown.layer) > 1
        kinds = {f"{OUTGOING[to].title} (*{OUTGOING[to].ending})": to for to in (*(FILMS if run else ()), *OTHERS)}
        path, chosen = QFileDialog.getSaveFileName(self, "Export what is shown", "", ";;".join(kinds))
        if not path:
            return
        to = kinds.get(chosen, next(iter(kinds.values())))
        ending = OUTGOING[to].ending
        output = Path(path) if path.lower().endswith(ending) else Path(path + ending)
        if OUTGOING[to].names_patient:
            shown.require_file()
            if not confirmed(self, OUTGOING[to].title, f"{NAMES_PATIENT} Write it?"):
                return
        self.export(shown, to, output, replace=str(output) == path)

    def export(self, shown: ShownMasks, to: To, output: Path, replace: bool = False) -> None:
        """Write what is shown as it is now, whatever is shown meanwhile.

        Args:
            shown: what is shown.
            to: as what; a PNG is of the shown frame alone.
            output: where to.
            replace: a file that is there may be replaced: the file dialog has asked.

        Raises:
            InputError: the frame for a PNG is not segmented.
        """
        index = self._frame()
        if to == "png" and index not in shown.prediction:
            raise InputError("The shown frame is not segmented yet, and a PNG is of this one: segment it first.")
        style = Style(self._outline(), index if to == "png" else None)
        frozen = ShownMasks(shown.layer, shown.prediction.as_shown())
        names = OUTGOING[to].names_patient
        self.work.start(
            lambda progress: hand_over(frozen, to, output, progress, style, names, replace=replace),
            lambda written: self._written(written, output),
        )
        self.enable(self._there)

    def _written(self, written: Written, output: Path) -> None:
        notes = [note for note in written.notes if note != NAMES_PATIENT]
        inform(" ".join([f"{counted(written.frames, 'frame')} in {output.name}.", *notes]))

    def _ended(self) -> None:
        self.progress.hide()
        self.enable(self._there)

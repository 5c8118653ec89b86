"""Files that a person opens: one, several, a folder, a disc. They are looked through in a thread, then become layers.

Nothing is left out in silence: each file that cannot be read is told by name, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_vasomim._reader import MOST_FILES, LayerData, layer_data, one_stack, stacked
from napari_vasomim.background.long_work import LongWork
from napari_vasomim.canvas.opening import when_added
from napari_vasomim.notify import counted, inform, warn, warn_of_several
from napari_vasomim.plain import message_box
from napari_vasomim.session import Session
from vasomim_core.anatomy.fullest import fullest_frame
from vasomim_core.errors import VasoMIMError
from vasomim_core.reading import Angiogram, Frames, find_angiograms, read_angiogram
from vasomim_core.reading.dicom.disc import contents, is_table_of_contents
from vasomim_core.reading.folders import Progress

MOST_STILLS = 4000
"""Frames of a run that is made of stills, at most; each of them is opened once to see its size."""


@dataclass(frozen=True)
class Found:
    """What was found where a person looked.

    Attributes:
        angiograms: in the order in which they become layers.
        refused: a sentence for each file that cannot be read.
        left: how many further files there are, which nobody looked at.
        alike: they are stills of one size, at least two, and may be the frames of one run.
        folder: where all of them are, if one folder or disc was asked for.
        note: what a run that was made of stills is left without.
    """

    angiograms: tuple[Angiogram, ...]
    refused: tuple[str, ...] = ()
    left: int = 0
    alike: bool = False
    folder: Path | None = None
    note: str = ""

    @property
    def queue(self) -> Path | None:
        """The folder that is worked through one by one, since it holds more than is opened at once."""
        return self.folder if self.left or len(self.angiograms) > MOST_FILES else None


def look_through(paths: Sequence[Path], progress: Progress) -> Found:
    """Open the angiograms of files, folders and discs; for a thread.

    Args:
        paths: a folder stands for what is in it, a DICOMDIR for its disc.
        progress: called before each file.
    """
    files: list[Path] = []
    refused: list[str] = []
    for path in paths:
        several = path.is_dir() or is_table_of_contents(path)
        try:
            files += find_angiograms(path) if several else [path]
        except VasoMIMError as error:
            refused.append(str(error))
        missing = contents(path if path.is_dir() else path.parent).missing if several else ()
        refused += [f"{image} is listed on this disc, but is not there: copy the disc again." for image in missing]
    angiograms: list[Angiogram] = []
    looked, alike = 0, True
    for looked, file in enumerate(files):
        if len(angiograms) >= (MOST_STILLS if alike else MOST_FILES):
            break
        progress(looked, len(files))
        try:
            angiograms.append(_left_on_disk(read_angiogram(file)))
        except VasoMIMError as error:
            refused.append(str(error))
            continue
        alike = alike and one_stack([angiograms[0], angiograms[-1]])
    else:
        looked = len(files)
    alike = alike and looked == len(files) and len(angiograms) > 1
    shown = angiograms if alike else angiograms[:MOST_FILES]
    left = len(files) - looked + len(angiograms) - len(shown)
    folder = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    return Found(tuple(shown), tuple(refused), left, alike, folder)


def as_layers(found: Found, one_run: bool, progress: Progress) -> tuple[list[tuple[Angiogram, LayerData]], Found]:
    """What was found as napari's layer data, and what could not become one; for a thread.

    Args:
        found: by `look_through`.
        one_run: stills that are alike are the frames of one run, in the order of their names.
        progress: called before each.
    """
    if one_run:
        run, note = stacked(list(found.angiograms))
        found = replace(found, angiograms=(run,), note=note)
    shown = found.angiograms[: 1 if found.queue else MOST_FILES]
    read: list[tuple[Angiogram, LayerData]] = []
    refused: list[str] = []
    for number, angiogram in enumerate(shown):
        progress(number, len(shown))
        try:
            read.append((angiogram, layer_data(angiogram, find_fullest=False)))
        except VasoMIMError as error:
            refused.append(str(error))
    left = found.left + len(found.angiograms) - len(shown)
    return read, replace(found, refused=found.refused + tuple(refused), left=left)


def _left_on_disk(angiogram: Angiogram) -> Angiogram:
    """The same; a still, which was decoded to look at it, is read again when it is shown: thousands may be open."""
    frames, path = angiogram.frames, angiogram.source
    if frames.from_file or len(frames) > 1:
        return angiogram
    again = Frames(lambda index: read_angiogram(path).frames[index], frames.shape, frames.dtype, path, from_file=True)
    return replace(angiogram, frames=again)


class Opener:
    """Opens files in a viewer, one lot at a time.

    Args:
        session: of the viewer.
        parent: of the question; when it is deleted, the work ends.

    Attributes:
        work: steps and ends of what goes on, and its end at a person's wish.
    """

    def __init__(self, session: Session, parent: QWidget):
        self._session, self._parent = session, parent
        self.work = LongWork(parent, lambda: inform("Opening was cancelled; what was open stays open."))

    def open(self, paths: Sequence[Path | str]) -> None:
        """Open files, folders and discs; the first of what is new is shown."""
        if self.work.busy:
            inform("Other files are being opened; wait for them, or cancel.")
            return
        given = [Path(path) for path in paths]
        if given:
            self.work.start(lambda progress: look_through(given, progress), self._found)

    def _found(self, found: Found) -> None:
        one_run = self._are_one_run(found) if found.alike else False
        if one_run is not None:
            self.work.start(lambda progress: as_layers(found, one_run, progress), self._add)

    def _are_one_run(self, found: Found) -> bool | None:
        """Ask what stills of one size are; None = the person has thought otherwise."""
        count, (_, rows, columns) = len(found.angiograms), found.angiograms[0].frames.shape
        more = "" if count <= MOST_FILES else "\nAs single stills, they are worked through one by one."
        if count > MOST_FILES and found.folder is None:
            more = f"\nAs single stills, the first {MOST_FILES} are opened."
        box = message_box(
            self._parent,
            "Open stills",
            f"These are {count} stills of {columns} × {rows} pixels. Are they the frames of one run?",
            f"A run is played and gone through with the slider, in the order of the files' names.{more}",
        )
        run = box.addButton("One run", QMessageBox.ButtonRole.AcceptRole)
        single = box.addButton("Single stills", QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec_()
        pressed = box.clickedButton()
        return None if pressed not in (run, single) else pressed is run

    def _add(self, outcome: tuple[list[tuple[Angiogram, LayerData]], Found]) -> None:
        read, found = outcome
        viewer = self._session.viewer
        first = None
        for angiogram, (data, keywords, _) in read:
            frames = angiogram.frames
            when_added(data, partial(fullest_frame, frames) if len(frames) > 1 else None)
            layer = viewer.add_image(data, **keywords)
            first = first if first is not None else layer
            for note in angiogram.notes:
                warn(note)
        if first is not None:
            self._session.angiogram = first
        if found.queue is not None:
            self._session.canvas.folder_opened.emit(found.queue)
        _tell(found)


def _tell(found: Found) -> None:
    """What was not opened, and why."""
    sentences = [*found.refused, *([found.note] if found.note else [])]
    if found.left and found.queue is None:
        sentences.append(
            f"Not opened: {counted(found.left, 'further file')}. Up to {MOST_FILES} angiograms are opened at once: "
            "open the others by themselves, or work through their folder in the panel Labels."
        )
    if len(sentences) > 1:
        warn_of_several(f"{counted(len(found.refused), 'file')} could not be opened", sentences)
    elif sentences:
        warn(sentences[0])

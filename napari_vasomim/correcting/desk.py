"""What a person does with the correction of the angiogram that is worked on, from a panel or by a key."""

from __future__ import annotations

from functools import partial

from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_vasomim.attached import PerViewer
from napari_vasomim.canvas import layers
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import Editor, editor_of
from napari_vasomim.correcting.palette import Palette
from napari_vasomim.correcting.tools.spec import CLASS_TOOLS, NAPARI_TOOLS, VESSEL_TOOLS
from napari_vasomim.session import Session
from napari_vasomim.shortcuts import Shortcuts
from vasomim_core.classes import of_value

NAPARIS = {spec.name for spec in NAPARI_TOOLS}


class CorrectingDesk(PerViewer):
    """The desk of whoever corrects in a viewer; get it with `CorrectingDesk.of`. It answers the keys of the tools."""

    shown = Signal()
    """A correction was brought to the front, or is new."""

    def __init__(self, viewer: ViewerModel):
        self.session = Session.of(viewer)
        keys = Shortcuts.of(viewer)
        for spec in VESSEL_TOOLS:
            keys.answer(spec.name, partial(self.take, spec.name))
        keys.answer("grow", self.grow)
        keys.answer("accept", self.session.request_accept)
        for spec in CLASS_TOOLS:
            keys.answer(spec.name, partial(self.take, spec.name), self._several)
        for number in range(9):
            keys.answer(f"class {number + 1}", partial(self.choose_class, number), self._several)
        for signal in (self.session.classes_changed, self.session.angiogram_changed, self.session.drawn, self.shown):
            signal.connect(lambda *_: keys.look())

    @property
    def correction(self) -> Labels | None:
        """The correction layer of the angiogram worked on."""
        source = self.session.angiogram
        return None if source is None else layers.labels_of(self.session.viewer, "correction", source)

    @property
    def editor(self) -> Editor | None:
        """Who looks after it."""
        layer = self.correction
        return None if layer is None else editor_of(self.session, layer)

    @property
    def palette(self) -> Palette:
        """Of the correction; of what would be drawn where there is none yet."""
        if (editor := self.editor) is not None:
            return editor.classes.palette
        classes = self.session.classes
        return Palette(classes, of_value(classes, self.session.class_value) or classes[0])

    def need_correction(self) -> Labels:
        """The correction layer, made if there is none.

        Raises:
            InputError: no angiogram is open, or something else is seen.
        """
        made = ensure_correction(self.session.viewer, self.session.need_shown()[0])
        self.shown.emit()
        return made

    def show(self, layer: Labels) -> None:
        """Have the correction seen, alone, and selected."""
        shown = layers.find(self.session.viewer, "prediction", self.session.need_angiogram())
        if shown is not None:
            self.session.canvas.hide(shown)  # two masks on top of each other cannot be told apart
        undo.show(layer)
        self.session.viewer.layers.selection.active = layer
        self.shown.emit()

    def take(self, name: str) -> None:
        """Take up a tool, ours or napari's; the same one again puts it down.

        Raises:
            InputError: no angiogram is open, something else is seen, or the tool cannot work here.
        """
        layer = self.need_correction()
        editor = editor_of(self.session, layer)
        self.show(layer)
        if name not in NAPARIS:
            editor.tools.take(name)
        else:
            editor.tools.take(None)
            layer.selected_label = editor.classes.palette.chosen.value
            layer.mode = "pan_zoom" if layer.mode == name else name

    def grow(self) -> None:
        """Add to the correction what the model sees; see `Editor.grow`.

        Raises:
            InputError: as there.
        """
        editor_of(self.session, self.need_correction()).grow()

    def choose_class(self, number: int) -> None:
        """Draw in the class of this place, from 0; beyond the last one nothing happens."""
        if (editor := self.editor) is not None:
            editor.classes.choose(number)
        elif number < len(self.session.classes):
            self.session.choose_class(self.session.classes[number].value)

    def _several(self) -> bool:
        return self.palette.several

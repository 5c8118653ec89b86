"""What the panels of one window share: the angiogram worked on, the frame shown, the model, the annotator.

Panels know the session and never each other. Every viewer has a session of its own.
"""

from __future__ import annotations

import getpass
import weakref
from dataclasses import replace
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QSettings
from superqt.utils import qthrottled

from napari_vasomim.attached import PerViewer
from napari_vasomim.canvas import frames, grey_window, layers, results
from napari_vasomim.canvas.canvas import Canvas
from napari_vasomim.prediction import Prediction
from napari_vasomim.runs.jobs import Job
from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.errors import InputError
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models.catalogue import DEFAULT_MODEL
from vasomim_core.reading import GreyLevels

SETTLE_MS = 30


class Session(PerViewer):
    """The state shared by the panels of one viewer; get it with `Session.of`.

    Attributes:
        viewer: napari's viewer.
        label_set: the opened label set, or None.
        classes: what the values of its masks mean, as far as this window knows; `VESSEL` where none is open.
        class_value: of the class that was chosen to be drawn in.
        predictions: what models said about each angiogram.
        jobs: the training runs that this window has started.
        canvas: shows the chosen angiogram alone.
    """

    angiogram_changed = Signal(object)
    """The chosen angiogram (Image layer or None), also when its facts changed."""
    pixels_changed = Signal(object)
    """An angiogram (Image layer) got other pixels or is read as its negative: what was found in it is gone."""
    frame_changed = Signal()
    """Another frame, or another angiogram, is shown; comes at most every 30 ms while a slider moves."""
    model_changed = Signal(str)
    settings_changed = Signal()
    """The model is asked otherwise from now on."""
    models_changed = Signal()
    """A model was registered, renamed or deleted: lists of models are out of date."""
    machines_changed = Signal()
    """A machine was described or forgotten: lists of machines are out of date."""
    annotator_changed = Signal()
    """Another person reads in this window."""
    label_set_changed = Signal(object)
    """Another label set was opened (LabelSet or None), or its content changed."""
    classes_changed = Signal()
    """Another label set was opened, or the one that is open has other `classes`."""
    class_chosen = Signal()
    """Another class is to be drawn in (`class_value`)."""
    predicted = Signal(object)
    """A frame of a `Prediction` was computed."""
    drawn = Signal(object)
    """A correction layer was changed (the layer), or has gone (None)."""
    accepted = Signal(object, int)
    """A label was kept: the correction layer, and which frame of it."""
    accept_requested = Signal()
    """The person pressed the key for accept & next."""

    def __init__(self, viewer: ViewerModel):
        self._viewer = weakref.ref(viewer)
        self._angiogram: Image | None = None
        self._index = 0
        self._settings = QSettings("vasomim", "napari-vasomim")
        self._model = str(self._settings.value("model", DEFAULT_MODEL))
        self._annotator = str(self._settings.value("annotator", ""))  # of two windows each keeps its own
        self.label_set: LabelSet | None = None
        self.classes: tuple[LabelClass, ...] = VESSEL
        self.class_value = VESSEL[0].value
        self.predictions: weakref.WeakKeyDictionary[Image, Prediction] = weakref.WeakKeyDictionary()
        self.jobs: list[Job] = []
        self.canvas = Canvas.of(viewer)
        self.canvas.brought.connect(self._brought)
        # A moved slider does not queue up work.
        self._look_soon = qthrottled(self._look, timeout=SETTLE_MS, leading=False)
        viewer.layers.events.inserted.connect(self._on_layers)
        viewer.layers.events.removed.connect(self._on_layers)
        viewer.layers.events.reordered.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.dims.events.current_step.connect(self._on_step)
        for layer in viewer.layers:
            self._watch(layer)
        self._on_layers()

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; it outlives its panels."""
        viewer = self._viewer()
        if viewer is None:
            raise InputError("The window of this panel is closed; open the panel in another window.")
        return viewer

    # The angiogram and its frame

    @property
    def angiogram(self) -> Image | None:
        """The angiogram worked on."""
        return self._angiogram

    @angiogram.setter
    def angiogram(self, layer: Image | None) -> None:
        if layer is not self._angiogram:
            self._angiogram = layer
            self.canvas.choose(layer)
            self._select_of(layer)
            self._index = frames.current_index(self.viewer, layer) if layer is not None else 0
            self.angiogram_changed.emit(layer)
            self.frame_changed.emit()

    def next_angiogram(self, step: int = 1) -> None:
        """Show the angiogram after the one that is shown, in the order of the layers, or with -1 that before it.

        After the last one comes the first. Nothing happens where none is open.
        """
        known = layers.angiograms(self.viewer)
        if known:
            here = known.index(self._angiogram) if self._angiogram in known else -1
            self.angiogram = known[(here + step) % len(known)]

    @property
    def index(self) -> int:
        """The frame of the angiogram that is shown, from 0."""
        return frames.current_index(self.viewer, self._angiogram) if self._angiogram is not None else 0

    def need_angiogram(self) -> Image:
        """The angiogram.

        Raises:
            InputError: none is open.
        """
        if self._angiogram is None:
            raise InputError("No angiogram is open; use Open… in the workbench, or drop a file onto the window.")
        return self._angiogram

    def need_shown(self) -> tuple[Image, int]:
        """The angiogram, and which frame of it is seen on the canvas; what is not seen is not worked on.

        Raises:
            InputError: none is open, or something else is seen.
        """
        layer = self.need_angiogram()
        if hindrance := self.canvas.hindrance():
            raise InputError(hindrance)
        return layer, self.index

    def set_bright_vessels(self, bright: bool) -> None:
        """Say that vessels are bright in this angiogram, as in a subtracted or inverted one."""
        layer = self.need_angiogram()
        self._see(layer, replace(layers.facts(layer).chosen, bright_vessels=bright))

    def use_shown_window(self) -> None:
        """Make the contrast limits of the angiogram's layer the window through which the engine and labels see it.

        Raises:
            InputError: none is open, or its grey levels need no window.
        """
        layer = self.need_angiogram()
        if not grey_window.can_be_set(layer):
            raise InputError("This angiogram has 8 bits, which are worked on as they are; its contrast is for the eye.")
        self._see(layer, replace(layers.facts(layer).chosen, window=grey_window.shown(layer)))

    def _see(self, layer: Image, chosen: GreyLevels) -> None:
        """See the frames of an angiogram otherwise, if that makes a difference."""
        before, now = layers.facts(layer), replace(layers.facts(layer), chosen=chosen)
        if now.levels != before.levels:
            layers.set_facts(layer, now)
            self._renew(layer)

    # The model and the person

    @property
    def model(self) -> str:
        """Name or path of the active model."""
        return self._model

    @model.setter
    def model(self, name: str) -> None:
        if name != self._model:
            self._model = name
            self._settings.setValue("model", name)
            self.model_changed.emit(name)

    @property
    def annotator(self) -> str:
        """Who reads in this window: the name chosen last on this computer; the login name until one was chosen."""
        return self._annotator or _login()

    @annotator.setter
    def annotator(self, name: str) -> None:
        self._annotator = name.strip()
        self._settings.setValue("annotator", self._annotator)
        self.annotator_changed.emit()

    def open_label_set(self, label_set: LabelSet | None) -> None:
        """Work on this label set from now on.

        Raises:
            LabelError: its classes cannot be read; the one before stays open.
        """
        self.classes, self.label_set = VESSEL if label_set is None else label_set.classes, label_set
        self.classes_changed.emit()
        self.label_set_changed.emit(label_set)

    def take_classes(self, classes: tuple[LabelClass, ...]) -> None:
        """The open label set was found to have these classes."""
        if classes != self.classes:
            self.classes = classes
            self.classes_changed.emit()

    def choose_class(self, value: int) -> None:
        """Draw in the class of this value from now on, wherever there is one."""
        if value != self.class_value:
            self.class_value = value
            self.class_chosen.emit()

    def request_accept(self) -> None:
        """Ask the label set's panel to accept the shown frame.

        Raises:
            InputError: that panel is nowhere open.
        """
        if not len(self.accept_requested):
            raise InputError("Accepting needs a label set; open the Labels panel and choose one.")
        self.accept_requested.emit()

    # What the viewer tells

    def _watch(self, layer: Any) -> None:
        if isinstance(layer, Image):
            layer.events.data.connect(self._on_data)
            layer.events.name.connect(self._on_name)

    def _on_data(self, event: Any) -> None:
        if event.source in self.viewer.layers and layers.is_angiogram(event.source):
            self._renew(event.source)

    def _on_name(self, event: Any) -> None:
        if layers.is_angiogram(event.source):
            results.rename_results(self.viewer, event.source)
            self.angiogram_changed.emit(self._angiogram)

    def _renew(self, layer: Image) -> None:
        """Forget what was found in the old pixels of an angiogram."""
        self.predictions.pop(layer, None)
        results.clear_results(self.viewer, layer)
        self.pixels_changed.emit(layer)
        self.angiogram_changed.emit(self._angiogram)
        if layer is self._angiogram:
            self._index = self.index
            self.frame_changed.emit()

    def _on_layers(self, event: Any = None) -> None:
        if event is not None and event.type == "inserted":
            self._watch(event.value)
        known = layers.angiograms(self.viewer)
        if self._angiogram is None or self._angiogram not in known:
            self.angiogram = known[-1] if known else None
        elif event is not None and event.type == "inserted" and layers.role(event.value) == "angiogram":
            self.angiogram = event.value
        else:
            self.angiogram_changed.emit(self._angiogram)  # the list of choices may have changed

    def _on_active(self, event: Any) -> None:
        """Who selects an angiogram in the list, or a result of one, wants to work on that one."""
        layer = event.value
        if layer is not None and not layers.is_arriving(layer):
            self._brought(layers.owner(self.viewer, layer))

    def _brought(self, angiogram: Image | None) -> None:
        if angiogram is not None and angiogram in self.viewer.layers:
            self.angiogram = angiogram

    def _select_of(self, angiogram: Image | None) -> None:
        """Keys go to the layer that is selected: never to one of an angiogram that is not shown."""
        viewer, selection = self.viewer, self.viewer.layers.selection
        if angiogram is None or selection.active is None or layers.owner(viewer, selection.active) in (None, angiogram):
            return
        correction = layers.labels_of(viewer, "correction", angiogram)
        selection.active = correction if correction is not None and correction.visible else angiogram

    def _on_step(self, event: Any) -> None:
        self._look_soon()

    def _look(self) -> None:
        if self._viewer() is None or self._angiogram is None:
            return
        if self.index != self._index:
            self._index = self.index
            self.frame_changed.emit()


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""

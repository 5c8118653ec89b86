"""The look that all panels share: a scrolling column of headed sections, and the choice of the angiogram on top."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider, QLabeledSlider
from superqt.utils import signals_blocked

from napari_vasomim import plain
from napari_vasomim.canvas import grey_window, layers
from napari_vasomim.closing import guard
from napari_vasomim.notify import report_errors
from napari_vasomim.plain import make_plain, plain_label
from napari_vasomim.session import Session
from napari_vasomim.widgets.key_list import answer_keys

WIDTH = 340
SPACE = 6


class Panel(QWidget):
    """One panel: a column of sections that scrolls when the window is low.

    A subclass sets `title` and `purpose` and fills itself in `build`; it finds the session in `self.session`.

    Args:
        napari_viewer: the viewer it works for.
        embedded: inside the workbench, which has the choice of the angiogram already.
    """

    title = ""
    purpose = ""
    needs_angiogram = True
    keys: Mapping[str, str] = MappingProxyType({})
    """Keys that it answers, by name, and the methods that do so."""
    explores: tuple[str, ...] = ()
    """Roles of the layers that one looks at with this panel alone; the workbench shows them only beside it."""

    def __init__(self, napari_viewer: ViewerModel, embedded: bool = False):
        super().__init__()
        self.session = Session.of(napari_viewer)
        self.embedded = embedded
        self.viewer = self.session.viewer
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        if self.needs_angiogram and not embedded:
            outer.addWidget(AngiogramChoice(self.session))
        column = QWidget()
        self.body = QVBoxLayout(column)
        self.body.setContentsMargins(8, 4, 8, 8)
        self.body.setSpacing(SPACE)
        if self.purpose:
            self.body.addWidget(hint(self.purpose))
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(column)
        outer.addWidget(scroll)
        self.build()
        make_plain(self)
        guard(self.session)
        answer_keys(self, self.viewer)
        self.body.addStretch(1)
        keep_wheel_for_scrolling(self)
        self.setMinimumWidth(WIDTH)

    def build(self) -> None:
        """Make the widgets and connect them to the session."""

    def section(self, heading: str) -> QFormLayout:
        """A headed group of labelled rows at the end of the column."""
        self.body.addWidget(header(heading))
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(SPACE)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.body.addLayout(form)
        return form

    def follow(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect a signal for as long as this panel lives."""
        follow(self, signal, slot)


class AngiogramChoice(QWidget):
    """Which image is worked on, and whether its vessels are bright.

    Args:
        session: of the viewer.
        first: stands before the choice, instead of a word on what is chosen.
    """

    def __init__(self, session: Session, first: QWidget | None = None):
        super().__init__()
        self._session = session
        self.choice = QComboBox()
        self.choice.setToolTip("The angiogram that is worked on: a still (y, x) or a cine (t, y, x)")
        self.choice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.bright = QCheckBox("inverted")
        self.bright.setToolTip(
            "The vessels are brighter than what is around them; the panels then work on the negative"
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 6, 8, 2)
        row.addWidget(plain_label("Angiogram") if first is None else first)
        row.addWidget(self.choice, 1)
        self.window = button(
            "as shown",
            session.use_shown_window,
            "Segment, filter and keep this angiogram with the contrast limits that its layer has now. Else the window\n"
            "of its file is taken, or each frame is spread between its darkest and brightest grey levels.",
        )
        self.window.setObjectName("as shown")
        row.addWidget(self.window)
        row.addWidget(self.bright)
        self.choice.activated.connect(self._chosen)
        self.bright.clicked.connect(report_errors(session.set_bright_vessels))
        follow(self, session.angiogram_changed, self._fill)
        self._fill()

    def _fill(self, *_: Any) -> None:
        self._known = known = layers.angiograms(self._session.viewer)
        chosen = self._session.angiogram
        with signals_blocked(self.choice):
            self.choice.clear()
            self.choice.addItems([layer.name for layer in known] or ["none open: drop a file here"])
            if chosen in known:
                self.choice.setCurrentIndex(known.index(chosen))
        self.choice.setEnabled(bool(known))
        self.bright.setEnabled(bool(known))
        self.window.setVisible(grey_window.can_be_set(chosen))
        self.bright.setChecked(chosen is not None and layers.facts(chosen).chosen.bright_vessels)

    def _chosen(self, row: int) -> None:
        if row < len(self._known):
            self._session.angiogram = self._known[row]
            self._session.canvas.choose(self._known[row])  # it may have been hidden by hand


def follow(widget: QWidget, signal: Any, slot: Callable[..., Any]) -> None:
    """Connect a psygnal or napari signal to a slot for as long as a widget lives; errors become a sentence."""
    guarded = report_errors(slot)

    def call(*arguments: Any) -> None:
        guarded(*arguments)

    signal.connect(call)

    def let_go(*_: Any) -> None:
        with contextlib.suppress(ValueError):
            signal.disconnect(call)

    widget.destroyed.connect(let_go)


def header(text: str) -> QLabel:
    """The heading of a section."""
    made = plain_label(text)
    font = made.font()
    font.setBold(True)
    made.setFont(font)
    made.setContentsMargins(0, SPACE, 0, 0)
    return made


def hint(text: str = "") -> QLabel:
    """A wrapped line of explanation or state."""
    made = plain_label(text)
    made.setWordWrap(True)
    made.setMinimumWidth(0)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def button(text: str, clicked: Callable[[], Any], tooltip: str = "", primary: bool = False) -> QPushButton:
    """A push button; what goes wrong in its work becomes a sentence."""
    made = QPushButton(text)
    made.setToolTip(plain.tooltip(tooltip))
    guarded = report_errors(clicked)
    made.clicked.connect(lambda *_: guarded())
    if primary:
        font = made.font()
        font.setBold(True)
        made.setFont(font)
    return made


def row(*widgets: QWidget) -> QHBoxLayout:
    """Widgets side by side with equal shares."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    for widget in widgets:
        layout.addWidget(widget, 1)
    return layout


def slider(low: float, high: float, value: float, step: float, tooltip: str = "") -> QLabeledDoubleSlider:
    """A slider of real numbers with its value in a box beside it."""
    made = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    made.setRange(low, high)
    made.setSingleStep(step)  # type: ignore[arg-type]
    made.setDecimals(max(0, len(f"{step:g}".partition(".")[2])))
    made.setValue(value)
    made.setToolTip(plain.tooltip(tooltip))
    return made


def whole_slider(low: int, high: int, value: int, tooltip: str = "") -> QLabeledSlider:
    """A slider of whole numbers with its value in a box beside it."""
    made = QLabeledSlider(Qt.Orientation.Horizontal)
    made.setRange(low, high)
    made.setValue(value)
    made.setToolTip(plain.tooltip(tooltip))
    return made


def choice(*items: tuple[str, Any], tooltip: str = "") -> QComboBox:
    """A combo box of (text, data) pairs."""
    made = QComboBox()
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    made.setToolTip(plain.tooltip(tooltip))
    for text, data in items:
        made.addItem(text, data)
    return made


class Progress(QWidget):
    """A progress bar with a cancel button, hidden while nothing goes on."""

    def __init__(self, cancel: Callable[[], Any]):
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.cancel = button("Cancel", cancel)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bar, 1)
        layout.addWidget(self.cancel)
        self.hide()

    def show_step(self, done: int, total: int, what: str = "%v of %m") -> None:
        """Show `done` of `total`; a total of 0 shows that something goes on."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(what)
        self.show()


class _WheelScrolls(QObject):
    """Lets the wheel scroll the panel instead of changing a value that the pointer happens to cross."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Wheel and not watched.hasFocus():  # type: ignore[union-attr]
            event.ignore()
            return True
        return False


def keep_wheel_for_scrolling(parent: QWidget) -> None:
    """Make the value widgets below `parent` take the wheel only while they have the focus."""
    keeper = _WheelScrolls(parent)
    for kind in (QAbstractSpinBox, QComboBox, QSlider):
        for widget in parent.findChildren(kind):
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            widget.installEventFilter(keeper)

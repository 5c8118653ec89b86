"""The workbench: all panels in the order of the work, in one dock."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TypeVar

from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QPushButton, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_vasomim.rhythm.doubtful import Doubtful
from napari_vasomim.rhythm.drafts import Drafts
from napari_vasomim.session import Session
from napari_vasomim.shortcuts import Shortcuts
from napari_vasomim.viewing.screen_text import ScreenText
from napari_vasomim.widgets.correct import CorrectPanel
from napari_vasomim.widgets.finetune import FinetunePanel
from napari_vasomim.widgets.kit import WIDTH, Panel
from napari_vasomim.widgets.label_set import LabelSetPanel
from napari_vasomim.widgets.mask_preview import MaskPreviewPanel
from napari_vasomim.widgets.measure import MeasurePanel
from napari_vasomim.widgets.open_files import OpenAndChoose
from napari_vasomim.widgets.pretrain import PretrainPanel
from napari_vasomim.widgets.segment import SegmentPanel
from napari_vasomim.widgets.unfinished_work import Offer
from napari_vasomim.widgets.vesselness import VesselnessPanel
from napari_vasomim.widgets.view import ViewPanel

PANELS: tuple[type[Panel], ...] = (
    ViewPanel,
    VesselnessPanel,
    MaskPreviewPanel,
    SegmentPanel,
    CorrectPanel,
    LabelSetPanel,
    MeasurePanel,
    FinetunePanel,
    PretrainPanel,
)
COLUMNS = 5
P = TypeVar("P", bound=Panel)
TAB = """
QPushButton { padding: 5px 2px; }
QPushButton:checked { background: palette(highlight); color: palette(highlighted-text); }
"""


class Workbench(QWidget):
    """Every panel behind a button of its own; a panel is made when it is first shown, so that the dock is up at once.

    Args:
        napari_viewer: the viewer it works for.
    """

    def __init__(self, napari_viewer: ViewerModel):
        super().__init__()
        self.session = Session.of(napari_viewer)
        self.panels: dict[type[Panel], Panel] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.opening = OpenAndChoose(self.session)
        layout.addWidget(self.opening)
        self.offer = Offer(self.session, self._show_restored)
        layout.addWidget(self.offer)
        grid = QGridLayout()
        grid.setContentsMargins(8, 2, 8, 2)
        grid.setSpacing(2)
        self._buttons = QButtonGroup(self)
        for place, kind in enumerate(PANELS):
            made = QPushButton(kind.title)
            made.setToolTip(kind.purpose)
            made.setCheckable(True)
            made.setStyleSheet(TAB)
            self._buttons.addButton(made, place)
            grid.addWidget(made, place // COLUMNS, place % COLUMNS)
        layout.addLayout(grid)
        self._stack = QStackedWidget()
        # Else napari may take the workbench for a low widget and fill the dock below it with nothing.
        self._stack.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        layout.addWidget(self._stack, 1)
        self._buttons.idClicked.connect(lambda place: self.show_panel(PANELS[place]))
        self.setMinimumWidth(WIDTH)
        ScreenText.of(self.session.viewer)  # with it, what the right button does on the canvas
        Doubtful.of(self.session.viewer)
        Drafts.of(self.session.viewer)  # the keys for labelling work before the panel for it was looked at
        self._answer_keys()
        self.show_panel(SegmentPanel)

    def _answer_keys(self) -> None:
        """Keys work before the panel that answers them was looked at: it is made at the first press."""
        here = weakref.ref(self)

        def press(kind: type[Panel], method: str) -> None:
            if (bench := here()) is not None:
                getattr(bench.panel(kind), method)()

        for kind in PANELS:
            for name, method in kind.keys.items():
                Shortcuts.of(self.session.viewer).answer(name, partial(press, kind, method))

    def panel(self, kind: type[P]) -> P:
        """A panel, made at first need."""
        if kind not in self.panels:
            self.panels[kind] = kind(self.session.viewer, embedded=True)
            self._stack.addWidget(self.panels[kind])
        return self.panels[kind]

    def _show_restored(self, correction: Labels) -> None:
        self.show_panel(CorrectPanel).show_correction(correction)

    def show_panel(self, kind: type[P]) -> P:
        """Bring a panel to the front."""
        shown = self.panel(kind)
        # A heat-map over a mask to correct is in the way: what one panel alone looks at waits beside it.
        self.session.canvas.put_away({role for other in PANELS for role in other.explores} - set(kind.explores))
        self._stack.setCurrentWidget(shown)
        self._buttons.button(PANELS.index(kind)).setChecked(True)
        return shown

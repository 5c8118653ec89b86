"""What the panel Labels says of the frames ahead: whether they come with a draft, how many are ready, all of them."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox

from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.notify import report_errors
from napari_vasomim.rhythm.ahead import Ahead
from napari_vasomim.rhythm.drafts import Drafts
from napari_vasomim.widgets.kit import Panel, Progress, button, hint


class FramesAhead:
    """A switch, a line, and the button for the whole queue.

    Args:
        panel: gets the widgets at the end of its column.
    """

    def __init__(self, panel: Panel):
        self._ahead, self._drafts = Ahead.of(panel.viewer), Drafts.of(panel.viewer)
        self._second = LabellingDesk.of(panel.viewer).second
        self.drafts = QCheckBox("the next frame comes with its prediction")
        self.drafts.setToolTip(
            "Going on shows the prediction as a draft on the correction layer, with the tool that you held.\n"
            "It is a label once you accept it; untouched, it goes when you leave the frame"
        )
        self.words = hint()
        self.whole = button(
            "Segment them all",
            self._ahead.segment_whole,
            "Segment the whole queue, behind all else that you do, so that the most uncertain frame of all comes first",
        )
        self.progress = Progress(self._ahead.stop_whole)
        for widget in (self.drafts, self.words, self.whole, self.progress):
            panel.body.addWidget(widget)
        self.drafts.toggled.connect(report_errors(self._toggled))
        panel.follow(self._ahead.changed, self._show)
        panel.follow(self._drafts.changed, self._show)
        panel.follow(self._second.changed, self._show)
        self._show()

    def _toggled(self, on: bool) -> None:
        if on != self._drafts.wanted:
            self._drafts.on = on

    def _show(self) -> None:
        self.drafts.setChecked(self._drafts.wanted)
        self.drafts.setEnabled(not self._second.on)
        self.words.setText(self._ahead.words())
        self.whole.setVisible(not self._ahead.whole)
        if self._ahead.whole:
            done, total = self._ahead.done
            self.progress.show_step(done, total if total > 1 else 0, "file %v of %m")
        else:
            self.progress.hide()

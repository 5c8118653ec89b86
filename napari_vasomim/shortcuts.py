"""The keys of one window: pressed anywhere in it, the canvas, the panels or the layer list, they do the same.

Qt gives a key to a field for text before it looks for shortcuts, so that nothing happens while a person types.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QShortcut

from napari_vasomim.attached import PerViewer
from napari_vasomim.canvas import layers
from napari_vasomim.keys import KEYS, sequences
from napari_vasomim.napari_compat import main_window, own_keys
from napari_vasomim.notify import report_errors

Action = Callable[..., Any]
"""Gets nothing; of a key that is held, whether it is down."""

HELD = {one.name for one in KEYS if one.held}
REPEATS = {one.name for one in KEYS if one.repeats}


class Shortcuts(PerViewer):
    """What each key of a window does; get it with `Shortcuts.of`. Without a window, nothing is bound.

    Actions live as long as the viewer: they hold on to widgets weakly.
    """

    def __init__(self, viewer: ViewerModel):
        self._viewer = weakref.ref(viewer)
        self._actions: dict[str, tuple[Action, Callable[[], bool]]] = {}
        self._bound: dict[str, list[QShortcut]] = {}
        self._release: _Release | None = None
        viewer.layers.selection.events.active.connect(self.look)

    def answer(self, name: str, action: Action, when: Callable[[], bool] = lambda: True) -> None:
        """Have a key do something, in place of what it did.

        Args:
            name: of the key.
            action: errors of it become a sentence.
            when: whether it is ours now, else napari has it; call `look` when that may have changed.
        """
        self._actions[name] = report_errors(action), when
        window = main_window(self._viewer())
        if window is not None and name not in self._bound:
            self._bound[name] = [self._bind(window, name, keys) for keys in sequences(name)]
        self.look()

    def press(self, name: str, down: bool = True) -> None:
        """Do what the key does; of one that is held, `down` says whether it goes down or up."""
        action, when = self._actions[name]
        if when():
            action(*((down,) if name in HELD else ()))

    def answered(self) -> set[str]:
        """Names of the keys that do something now."""
        return {name for name, (_, when) in self._actions.items() if when()}

    def look(self, event: Any = None) -> None:
        """Bind what is ours now, and leave the rest to napari."""
        viewer = self._viewer()
        taken = _keys_of_others(viewer.layers.selection.active) if viewer is not None else set()
        for name, bound in self._bound.items():
            ours = self._actions[name][1]()
            for shortcut in filter(isalive, bound):  # a window that closes takes them along
                shortcut.setEnabled(ours and shortcut.key().toString() not in taken)

    def _bind(self, window: Any, name: str, keys: str) -> QShortcut:
        made = QShortcut(QKeySequence(keys), window)
        made.setAutoRepeat(name in REPEATS)
        made.activated.connect(partial(self._pressed, name))
        return made

    def _pressed(self, name: str) -> None:
        if QApplication.activePopupWidget() is not None:
            return  # a menu or a list of choices has the keys
        self.press(name)
        if name in HELD:
            self._release = _Release(partial(self.press, name, False))


class _Release(QObject):
    """Waits until a key goes up, or the window no longer hears of it."""

    def __init__(self, then: Callable[[], Any]):
        super().__init__()
        self._then = then
        QApplication.instance().installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None:
            return False
        up = event.type() == QEvent.Type.KeyRelease and not event.isAutoRepeat()
        if up or event.type() == QEvent.Type.WindowDeactivate:
            QApplication.instance().removeEventFilter(self)
            self._then()
        return False


def _keys_of_others(active: Layer | None) -> set[str]:
    """The keys that a layer of somebody else has, which come before ours, as Qt writes them."""
    if active is None or isinstance(active, Image) or layers.role(active) is not None:
        return set()
    return {QKeySequence(key).toString() for key in own_keys(active)}

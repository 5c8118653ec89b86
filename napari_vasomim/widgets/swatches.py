"""Colours of classes as small pictures."""

from __future__ import annotations

from qtpy.QtGui import QColor, QIcon, QPixmap

SIDE = 14


def swatch(colour: str) -> QIcon:
    """A square in a colour, "#rrggbb"."""
    picture = QPixmap(SIDE, SIDE)
    picture.fill(QColor(colour))
    return QIcon(picture)

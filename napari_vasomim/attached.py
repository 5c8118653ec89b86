"""Objects of ours that belong to a viewer or a layer of napari's, and live as long as it does."""

from __future__ import annotations

import weakref
from typing import Any, Self, TypeVar

from napari.components import ViewerModel

from napari_vasomim.napari_compat import unwrap

T = TypeVar("T")

_objects: weakref.WeakKeyDictionary[Any, dict[type, Any]] = weakref.WeakKeyDictionary()


def attach(owner: Any, thing: Any) -> None:
    """Give a viewer or layer an object, in place of the one that it had of the same class.

    Args:
        owner: napari's object, or a proxy of it.
        thing: what goes with it. It holds on to it weakly if at all, or is detached in time: else neither would
            ever end.
    """
    _objects.setdefault(unwrap(owner), {})[type(thing)] = thing


def attached(owner: Any, kind: type[T]) -> T | None:
    """The object of this very class that a viewer or layer has; None if it has none."""
    return _objects.get(unwrap(owner), {}).get(kind)


def detach(owner: Any, kind: type) -> None:
    """Take the object of this very class from a viewer or layer, if it has one."""
    _objects.get(unwrap(owner), {}).pop(kind, None)


class PerViewer:
    """A class of which each viewer has one object; get it with `of`."""

    def __init__(self, viewer: ViewerModel):
        """Make the object of a viewer."""

    @classmethod
    def of(cls, viewer: Any) -> Self:
        """That of a viewer, made at first need; proxies of a viewer share it."""
        known = cls.known(viewer)
        if known is None:
            known = cls(unwrap(viewer))
            attach(viewer, known)
        return known

    @classmethod
    def known(cls, viewer: Any) -> Self | None:
        """That of a viewer; None before it was first needed."""
        return attached(viewer, cls)

"""What a layer is. A result is known by the object that it is, never by its name or by metadata, which are copied.

| role | layer |
|---|---|
| angiogram | Image (y, x) or (t, y, x), read by us or by anyone else |
| vesselness, probability, uncertainty, … | Image of the same size as its angiogram |
| anatomy, prediction, correction, … | Labels of the same size as its angiogram |
| truth | Labels, the true vessels that came with a sample |
| copy | what napari duplicated from a result: a person's backup, which nothing of ours reads or writes |
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_vasomim.attached import attach, attached
from napari_vasomim.canvas.facts import AngiogramFacts, Mark, ResultFacts
from napari_vasomim.napari_compat import unwrap
from vasomim_core.files import stamp

KEY = "vasomim"
"""Of our entry in a layer's metadata: `AngiogramFacts` or a `Mark`."""


def facts(angiogram: Layer) -> AngiogramFacts:
    """What is known of an angiogram: nothing yet, where somebody else has opened it."""
    found = _entry(angiogram)
    return found if isinstance(found, AngiogramFacts) else AngiogramFacts()


def set_facts(angiogram: Layer, known: AngiogramFacts) -> None:
    """From now on, this is known of an angiogram."""
    unwrap(angiogram).metadata[KEY] = known


def result(layer: Layer) -> ResultFacts | None:
    """What is known of a result; None for any other layer, also for a copy of one."""
    return attached(layer, ResultFacts)


def tag(layer: Layer, role: str, source: Image) -> None:
    """Make a layer the result of an angiogram, with this role."""
    layer, source = unwrap(layer), unwrap(source)
    attach(layer, ResultFacts(role, source))
    layer.metadata[KEY] = Mark(role, weakref.ref(source))


def role(layer: Layer) -> str | None:
    """The role of a layer of ours, None for the layers of others."""
    made, found = result(layer), _entry(layer)
    if made is not None:
        return made.role
    if isinstance(found, AngiogramFacts):
        return "angiogram"
    if isinstance(found, Mark):
        return found.role if found.sample else "copy"
    return None


def owner(viewer: ViewerModel, layer: Layer) -> Image | None:
    """The angiogram that a layer belongs to: itself, that of a result or of its copy; None for the layers of others."""
    made, found = result(layer), _entry(layer)
    if made is not None:
        return made.source
    if isinstance(found, Mark):
        if found.sample:
            return next((other for other in angiograms(viewer) if facts(other).sample == found.sample), None)
        return found.of() if found.of is not None else None
    return unwrap(layer) if is_angiogram(layer) else None


def _entry(layer: Layer) -> Any:
    return unwrap(layer).metadata.get(KEY)


def is_angiogram(layer: Layer | None) -> bool:
    """Whether a layer can be worked on: an image (y, x) or (t, y, x) that is no result of ours."""
    if not isinstance(layer, Image) or layer.multiscale:
        return False
    return layer.ndim in (2, 3) and role(layer) in (None, "angiogram")


def angiograms(viewer: ViewerModel) -> list[Image]:
    """All layers that can be worked on, the lowest first."""
    return [layer for layer in viewer.layers if is_angiogram(layer)]


def path_of(angiogram: Image) -> Path | None:
    """The file that an angiogram was read from, by us or by anyone; None where there is none."""
    path = facts(angiogram).path or angiogram.source.path
    return Path(path) if path else None


def opened_from(viewer: ViewerModel, path: Path, besides: Layer | None = None) -> Image | None:
    """The angiogram that was read from a file which has not changed since; None if it is not open."""
    now = stamp(path)
    for layer in angiograms(viewer):
        known = facts(layer)
        if layer is besides or known.path is None or now is None or known.stamp != now:
            continue
        if known.path.resolve() == Path(path).resolve():
            return layer
    return None


def find(viewer: ViewerModel, role: str, source: Layer) -> Any:
    """The newest layer with this role that was made from `source`, or None."""
    for layer in reversed(viewer.layers):
        made = result(layer)
        if made is not None and made.role == role and made.source is source:
            return layer
    return None


def labels_of(viewer: ViewerModel, role: str, source: Layer) -> Labels | None:
    """`find` for a Labels layer."""
    layer = find(viewer, role, source)
    return layer if isinstance(layer, Labels) else None


def add(viewer: ViewerModel, layer: Layer, select: bool = False) -> None:
    """Put a tagged result into the viewer; unless it is to be selected, what was selected stays so."""
    active, made = viewer.layers.selection.active, attached(layer, ResultFacts)
    if made is None:
        raise ValueError("only results are added; tag the layer first")
    made.arriving = True
    try:
        viewer.add_layer(layer)
        made.name = layer.name  # napari may have added a number
        if not select:
            viewer.layers.selection.active = active
    finally:
        made.arriving = False


def is_arriving(layer: Layer) -> bool:
    """Whether a layer is selected just because napari selects what it adds."""
    made = result(layer)
    return made is not None and made.arriving


def remove(viewer: ViewerModel, *parts: Layer) -> None:
    """Take layers out of the viewer, as far as they are in it: one that goes may take another with it."""
    for layer in parts:
        if layer in viewer.layers:
            viewer.layers.remove(layer)

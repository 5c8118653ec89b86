"""Which of the masks drawn in a viewer a label set has, exactly as they are drawn."""

from __future__ import annotations

import weakref

import numpy as np
from napari.layers import Image, Labels

from napari_vasomim.correcting.corrections import correction_of, drawn_values
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.session import Session
from vasomim_core.classes import ClassMask
from vasomim_core.labels.labelset import pixel_sha256


class SavedMasks:
    """Remembers the masks that were written, or read, in this session."""

    def __init__(self, session: Session):
        self._session = session
        self._masks: weakref.WeakKeyDictionary[Labels, dict[int, str]] = weakref.WeakKeyDictionary()

    def remember(self, correction: Labels, index: int, mask: ClassMask) -> None:
        """A label set has this mask (H, W), in the values of the layer, for a frame of a correction layer."""
        self._masks.setdefault(correction, {})[index] = pixel_sha256(mask)
        now = drawn_values(correction, index)
        if now is not None and np.array_equal(now, mask):  # else it was drawn on while the mask was written
            self._session.accepted.emit(correction, index)

    def missing(self, angiogram: Image) -> list[int]:
        """Frames of an angiogram whose drawing is in no label set; a model's draft is no drawing."""
        correction = correction_of(self._session.viewer, angiogram)
        if correction is None:
            return []
        data = np.asarray(correction.data)
        frames = data[None] if data.ndim == 2 else data
        kept, draft = self._masks.get(correction, {}), editor_of(self._session, correction).draft
        drawn = (int(i) for i in np.flatnonzero(frames.any(axis=(1, 2))) if i != draft)
        return [i for i in drawn if kept.get(i) != pixel_sha256(frames[i])]

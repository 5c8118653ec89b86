"""One measure of the window: what is kept of it, and what it measures now."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vasomim_core.measures.kept import KeptMeasure
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.scale import Scale


@dataclass(frozen=True)
class Entry:
    """A measure of one frame of one angiogram.

    Attributes:
        index: the frame, from 0.
        frame_sha256: fingerprint of its stored pixels; under it the measure is kept.
        grey_sha256: that of the grey levels on which was measured here.
        kept: what is kept.
        measure: None where what was kept cannot be measured again; `note` says why.
        note: what a person has to know of it, in a sentence; empty if nothing.
    """

    index: int
    frame_sha256: str
    grey_sha256: str
    kept: KeptMeasure
    measure: Measure | None
    note: str = ""

    @property
    def id(self) -> str:
        """By which it is known, whatever is changed in it."""
        return self.kept.id

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.kept.name

    def measured(self, measure: Measure, model: str | None = None) -> Entry:
        """The same measure with other clicks, markers or another reference.

        Args:
            measure: what it is now.
            model: which model was needed for its path; None = as before.
        """
        model = self.kept.model if model is None else model
        kept = KeptMeasure.of(measure, self.kept.frame, self.grey_sha256, model, like=self.kept)
        return replace(self, kept=kept, measure=measure, note="")

    def named(self, name: str) -> Entry:
        """The same under another name."""
        measure = None if self.measure is None else self.measure.with_(name=name)
        return replace(self, kept=replace(self.kept, name=name), measure=measure)

    def scaled(self, scale: Scale | None) -> Entry:
        """The same by another scale; its pixels stay as they were measured."""
        measure = None if self.measure is None else self.measure.with_(scale=scale)
        return replace(self, kept=replace(self.kept, scale=scale), measure=measure)

"""The order of the frames to annotate, and which of them a label set knows already. No Qt, no viewer.

A queue runs through one angiogram or many; a file is opened when its turn comes, so a folder of thousands starts at
once. Threads may ask it while the window shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from napari_vasomim.labelling.contents import Contents
from napari_vasomim.labelling.sources import Source
from vasomim_core.errors import VasoMIMError
from vasomim_core.labels.labelset import STATUSES, Record, pixel_sha256

Order = Literal["file", "uncertain"]


class Place(NamedTuple):
    """A frame of the queue: number of the file and of the frame in it, both from 0."""

    file: int
    frame: int


class AnnotationQueue:
    """Frames in the order in which they are annotated.

    Args:
        sources: the angiograms.
        every: takes every n-th frame of a cine, from the first one on.
        order: "file" = as they lie in the files; "uncertain" = those of which the model is least sure first, and
            those that no model has seen last, in file order.

    Attributes:
        uncertainty: mean uncertainty in bits of the frames that were segmented; may grow at any time.
        problems: a sentence for each file that could not be read; such a file has no frames.
    """

    def __init__(self, sources: Sequence[Source], every: int = 1, order: Order = "file") -> None:
        self.sources = list(sources)
        self.every = every
        self.order: Order = order
        self.uncertainty: dict[Place, float] = {}
        self.problems: dict[int, str] = {}
        self._sha: dict[Place, str] = {}

    def count(self, file: int) -> int:
        """Number of frames of a file; opens it."""
        if file in self.problems:
            return 0
        try:
            return self.sources[file].count()
        except VasoMIMError as error:
            self.problems[file] = str(error)
            return 0

    def places(self) -> Iterator[Place]:
        """All places in order; a file is opened when the iteration comes to it."""
        first: list[Place] = []
        if self.order == "uncertain":
            seen = [item for item in list(self.uncertainty.items()) if item[0].frame % self.every == 0]
            first = [place for place, _ in sorted(seen, key=lambda item: (-item[1], item[0]))]
        yield from first
        done = set(first)
        for file in range(len(self.sources)):
            yield from (place for place in self.of_file(file) if place not in done)

    def of_file(self, file: int) -> list[Place]:
        """The places of one file, in its own order."""
        return [Place(file, frame) for frame in range(0, self.count(file), self.every)]

    def after(self, place: Place) -> Place | None:
        """The next place; None at the end. From a frame that is not in the queue, the nearest one after it in order."""
        return next(self._rest(place), None)

    def before(self, place: Place) -> Place | None:
        """The place before; None at the beginning."""
        if self.order == "file":
            earlier = (
                other for file in range(place.file, -1, -1) for other in reversed(self.of_file(file)) if other < place
            )
            return next(earlier, None)
        previous = None
        for other in self.places():
            if other == place:
                return previous
            previous = other
        return None

    def _rest(self, place: Place) -> Iterator[Place]:
        """The places after one."""
        if self.order == "file":
            files = range(place.file, len(self.sources))
            return (other for file in files for other in self.of_file(file) if other > place)
        places = self.places()
        if place.frame % self.every == 0:
            for other in places:
                if other == place:
                    break
        return places

    # What the label set knows

    def frame_index(self, place: Place) -> int | None:
        """The index that identifies the frame in a label set: None for a still, but for one taken from a run."""
        return place.frame if self.count(place.file) > 1 else self.sources[place.file].frame_index

    def is_learned(self, place: Place) -> bool:
        """Whether a frame was read since it last changed."""
        return place in self._sha

    def learn(self, place: Place) -> None:
        """Read a frame, so that `record` can find it. A frame that cannot be read is not in any label set."""
        if place not in self._sha:
            try:
                self._sha[place] = pixel_sha256(self.sources[place.file].frame(place.frame))
            except VasoMIMError:
                self._sha[place] = ""

    def forget(self, file: int) -> None:
        """Read the frames of a file anew, as after it was inverted."""
        for place in [place for place in list(self._sha) if place.file == file]:
            del self._sha[place]

    def record(self, place: Place, contents: Contents) -> Record | None:
        """The record of a frame that was learned; None also for one that was not."""
        sha = self._sha.get(place)
        return contents.find(sha, self.frame_index(place)) if sha else None

    def next_unlabelled(self, place: Place | None, contents: Contents) -> Place | None:
        """The first frame without a record after a place, and then from the beginning; None if all have one.

        Reads the frames that it passes.
        """
        after = self._rest(place) if place is not None else iter(())
        for candidates in (after, self.places()):
            for other in candidates:
                if other != place:
                    self.learn(other)
                    if self._sha[other] and self.record(other, contents) is None:
                        return other
        return None

    def upcoming(self, place: Place | None, contents: Contents, most: int) -> list[Place]:
        """The next frames that have no record, after a place or from the beginning; reads those it passes.

        Args:
            place: None = from the beginning.
            contents: what the label set has.
            most: how many at most.
        """
        found: list[Place] = []
        for other in self._rest(place) if place is not None else self.places():
            self.learn(other)
            if self._sha[other] and self.record(other, contents) is None:
                found.append(other)
                if len(found) == most:
                    break
        return found

    def by_status(self, contents: Contents) -> dict[str, int]:
        """Number of frames of each status, as far as they were learned."""
        records = (self.record(place, contents) for place in list(self._sha))
        count = Counter(record.status for record in records if record is not None)
        return {status: count[status] for status in STATUSES}

    @property
    def segmented(self) -> int:
        """Number of frames of the queue that have an uncertainty."""
        return sum(place.frame % self.every == 0 for place in list(self.uncertainty))

"""What is known of a layer: of an angiogram, of a result that was made from one, and of what napari copies.

Both kinds of marks in the metadata are frozen, for napari hands the same objects on to a copy of the layer.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path

from napari.layers import Image

from vasomim_core.files import stamp
from vasomim_core.reading import Angiogram, GreyLevels
from vasomim_core.reading.calibration import Calibration
from vasomim_core.reading.grey import Window
from vasomim_core.reading.levels import AS_IN_THE_FILE


@dataclass(frozen=True)
class AngiogramFacts:
    """What is known of an angiogram. They lie in its metadata: a copy has the same pixels, of which they stay true.

    Attributes:
        path: The file that it was read from, in memory only; None = it is from elsewhere.
        stamp: That of the file when it was read; see `vasomim_core.files.stamp`.
        spacing: (row, column) in mm at the detector.
        calibration: All that the file says of the size of its pixels.
        frame_time_ms: Time between two frames in ms.
        angles: (primary, secondary) C-arm angle in degrees, positive towards LAO and CRA.
        window: The display window of the file, in grey levels; None where there is none or it hides the picture.
        notes: What the person was told about the file.
        sample: By which the true vessels of a sample find it; empty for all others.
        chosen: How a person wants its frames to be seen. The window there goes before that of the file.
        group: Under which a person wants its frames to be kept; None = nobody has said, "" = under none.
        fullest_frame: The frame with most vessel in it, from 0, once it is known.
        frame_index: Of a still that was taken from a run: which frame of that it was, from 0.
    """

    path: Path | None = None
    stamp: tuple[int, int] | None = None
    spacing: tuple[float, float] | None = None
    frame_time_ms: float | None = None
    angles: tuple[float, float] | None = None
    window: Window | None = None
    notes: tuple[str, ...] = ()
    sample: str = ""
    chosen: GreyLevels = AS_IN_THE_FILE
    group: str | None = None
    fullest_frame: int | None = None
    calibration: Calibration | None = None
    frame_index: int | None = None

    @classmethod
    def of_file(cls, angiogram: Angiogram, chosen: GreyLevels = AS_IN_THE_FILE) -> AngiogramFacts:
        """Those of an angiogram that was read from a file."""
        return cls(
            path=angiogram.source,
            stamp=stamp(angiogram.source),
            spacing=angiogram.spacing,
            calibration=angiogram.calibration,
            frame_time_ms=angiogram.frame_time_ms,
            angles=angiogram.angles,
            window=angiogram.window,
            notes=angiogram.notes,
            chosen=chosen,
        )

    @property
    def levels(self) -> GreyLevels:
        """How its frames are seen: as the person has chosen, or else as the file says."""
        return self.chosen.or_window(self.window)


@dataclass(eq=False)
class ResultFacts:
    """What is known of a result. They belong to one layer, and not to its copies.

    Attributes:
        role: What it is: "anatomy", "prediction", "correction", …
        source: The angiogram that it was made from.
        name: What we have called it; if it has another name, a person has given it.
        arriving: It is being added, and napari selects what it adds.
    """

    role: str
    source: Image
    name: str = ""
    arriving: bool = False


@dataclass(frozen=True)
class Mark:
    """What lies in the metadata of a result, and so of its copies.

    Attributes:
        role: Of the result.
        of: The angiogram that it was made from.
        sample: Of the angiogram, where this was read together with it.
    """

    role: str
    of: weakref.ref[Image] | None = None
    sample: str = ""

"""The measures that were kept, a file a frame, found again by the pixels of the frame and by nothing else.

No name of a file, run or person is in them. A frame that was changed on the disk has other pixels, and so no measures;
a copy of a run has those of the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs
from numpy.typing import ArrayLike

from vasomim_core.errors import InputError
from vasomim_core.files import write_json
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.locks import locked
from vasomim_core.measures.kept import KeptMeasure, from_json, to_json
from vasomim_core.reading.levels import AS_IN_THE_FILE

LONGEST = 16 << 20  # bytes
TURN = 10.0
"""Seconds to wait until another window has written."""


def default_folder() -> Path:
    """Where measures are kept: `$VASOMIM_MEASURES`, else the platform's data folder for this user."""
    given = os.environ.get("VASOMIM_MEASURES")
    return Path(given) if given else platformdirs.user_data_path("vasomim", appauthor=False) / "measures"


def fingerprint(pixels: ArrayLike) -> str:
    """By what a frame is known, whatever the window it is seen through, and whether as its negative.

    Args:
        pixels: as they are stored: (H, W), or in colour; see `GreyLevels.stored`.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: no frame, no pixels, or values that are not finite.
    """
    return pixel_sha256(AS_IN_THE_FILE.stored(pixels))


class MeasureStore:
    """A folder of measures; several programs may write to it at once.

    Args:
        folder: None = `default_folder`; made when the first measure is kept.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = default_folder() if folder is None else Path(folder)

    def of_frame(self, pixels: ArrayLike) -> list[KeptMeasure]:
        """The measures of a frame.

        Args:
            pixels: as they are stored, such as `angiogram.frames[i]`.

        Raises:
            InputError: its file is damaged, or of a later version.
        """
        return self.read(fingerprint(pixels))

    def frames(self) -> set[str]:
        """Fingerprints of the frames that have measures."""
        try:
            return {path.stem for path in self.folder.iterdir() if path.suffix == ".json"}
        except OSError:
            return set()

    def read(self, frame_sha256: str) -> list[KeptMeasure]:
        """The measures of the frame with this fingerprint, the oldest first; none where there is no file.

        Raises:
            InputError: its file is damaged, or of a later version.
        """
        path = self._path(frame_sha256)
        try:
            with path.open("rb") as file:
                content = file.read(LONGEST + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}): check the folder.") from error
        if len(content) > LONGEST:
            raise InputError(f"{path} is larger than {LONGEST >> 20} MiB, which measures are not: remove it.")
        sha, kept = from_json(content.decode("utf-8", "replace"), str(path))
        if sha != frame_sha256:
            raise InputError(f"{path} holds the measures of another frame: give it back its name, or remove it.")
        return kept

    def put(self, frame_sha256: str, kept: KeptMeasure) -> None:
        """Keep a measure, in place of the one with its id.

        Raises:
            InputError: what is there cannot be read, and is left alone.
            OSError: the folder cannot be written to.
        """

        def put(known: list[KeptMeasure]) -> list[KeptMeasure]:
            if any(one.id == kept.id for one in known):
                return [kept if one.id == kept.id else one for one in known]
            return [*known, kept]

        self._change(frame_sha256, put)

    def remove(self, frame_sha256: str, id: str) -> None:
        """Keep a measure no longer.

        Raises:
            InputError: what is there cannot be read, and is left alone.
            OSError: the folder cannot be written to.
        """
        self._change(frame_sha256, lambda known: [one for one in known if one.id != id])

    def _change(self, sha: str, change: Callable[[list[KeptMeasure]], list[KeptMeasure]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.folder / ".lock", wait=TURN):
            now = change(self.read(sha))
            if now:
                write_json(self._path(sha), to_json(sha, now))
            else:
                self._path(sha).unlink(missing_ok=True)

    def _path(self, sha: str) -> Path:
        return self.folder / f"{sha}.json"

"""A label set as the version before named classes wrote it, byte for byte: one frame, two revisions."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

FIRST, SECOND = ([[0] * 5, [0, 1, 1, 1, 0], [0, 0, third, 0, 0], [0] * 5] for third in (0, 1))
"""Its masks, 1 = vessel."""

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAECAAAAABjWKqcAAAA"
_FIRST = _PNG + "GElEQVQIHWNkAAFGhv8MDIyMDCDAyAACABBRAQVV/SZfAAAAAElFTkSuQmCC"
_SECOND = _PNG + "GUlEQVQIHRXBgQ0AAAjDIPr/0ZpBJkdxyTwZUAIF3uyPNwAAAABJRU5ErkJggg=="
_FRAME = _PNG + "GklEQVQIHWNk4AECRhseIGCs4AECxi08QAAAFZwCLRErjGEAAAAASUVORK5CYII="
_RECORD = """{
  "id": "a",
  "status": "accepted",
  "group": "g",
  "frame_sha256": "3b4b28cb5f7083f10ec8b5493bf8a487d81dbfe1916f92ee2a0e45798c6fd75e",
  "frame_index": null,
  "source": null,
  "annotator": "%s",
  "model": null,
  "created": "2026-11-27T01:57:29.703Z",
  "modified": "2026-11-27T01:57:29.7%sZ",
  "note": "",
  "revision": %d,
  "mask_sha256": "%s"
}
"""
_ONE = _RECORD % ("A", "03", 1, "df5f3a3d4df31ecbd9fe8c1f9fc7a10e5b81759aadc8fa88018fff3d55125666")
_TWO = _RECORD % ("B", "31", 2, "b1d948d5c4622a90c7f09cc0d0a63d95c9694fa5ba8e97a069291eee82f7f5cb")
_INDEX = """{
  "format": "vasomim-labelset",
  "version": 1,
  "name": "coronaries",
  "created": "2026-11-27T01:57:29.689Z",
  "key": "09e479431606ec504e74043f77f05da75208d00e7d18791f1737401c6f8f044c"
}
"""
FILES = {
    "labelset.json": _INDEX.encode(),
    "frames/a.png": b64decode(_FRAME),
    "masks/a.png": b64decode(_SECOND),
    "records/a.json": _TWO.encode(),
    "history/a/1.png": b64decode(_FIRST),
    "history/a/1.json": _ONE.encode(),
    "history/a/2.png": b64decode(_SECOND),
    "history/a/2.json": _TWO.encode(),
}


def write(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder

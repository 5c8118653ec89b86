"""ARCADE as it is published: `<split>/images/*.png` and `<split>/annotations/<split>.json` (COCO polygons).

ARCADE: Popov et al., "Dataset for Automatic Region-based Coronary Artery Disease Diagnostics Using X-Ray
Angiography Images", Scientific Data 11 (2024), 20.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vasomim_core.errors import InputError, LabelError

LARGEST_SIDE = 32_768
"""Longest side of a frame, in pixels, that a COCO file may state: a wrong number must not fill the memory."""


def is_arcade_split(path: Path | str) -> bool:
    """Whether `path` is a folder with `images/` and the annotations that `split_annotations` finds."""
    path = Path(path)
    return (path / "images").is_dir() and _annotation_file(path) is not None


def split_annotations(path: Path | str) -> Path:
    """The COCO file of the ARCADE split folder `path`: `annotations/<split>.json`, or the only JSON there.

    The second form serves a split whose folder was renamed.

    Raises:
        InputError: the folder has no such file.
    """
    found = _annotation_file(Path(path))
    if found is None:
        raise InputError(f"{path} is no ARCADE split: annotations/{Path(path).name}.json is missing in it.")
    return found


def _annotation_file(split: Path) -> Path | None:
    folder = split / "annotations"
    named = folder / f"{split.resolve().name}.json"
    if named.is_file():
        return named
    others = [file for file in folder.glob("*.json") if not file.name.startswith(".")]
    return others[0] if len(others) == 1 else None


class CocoMasks:
    """The binary vessel masks of a COCO file with polygons, each drawn when it is asked for.

    The mask of a frame is the union of all its polygons, whatever their category. In ARCADE's "syntax" part
    that is every labelled vessel segment; a `stenosis` polygon (category 26) lies on a vessel and counts as
    vessel too. Each polygon is drawn by `PIL.ImageDraw.Draw.polygon`: other rasterisers draw other borders,
    which moves DSC by 0.1 to 0.3 points and clDice by up to 0.5.

    Attributes:
        path: The COCO file.
        stems: The frames' file names without folder and suffix, in the file's order; each occurs once.
    """

    def __init__(self, path: Path | str) -> None:
        """Read the COCO file `path` and check it; no mask is drawn yet.

        Raises:
            InputError: the file is missing, not readable, or not JSON.
            LabelError: it is JSON, but not COCO with polygons: a key is missing or of the wrong type, there
                is no image, two images share a stem or an id, or an annotation belongs to no image.
        """
        self.path = Path(path)
        self._file_names: dict[str, str] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._polygons: dict[str, list[list[float]]] = {}
        document = self._load()
        try:
            self._parse(document)
        except KeyError as error:
            raise LabelError(f"{self.path} is not COCO with polygons: the key {error} is missing.") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise LabelError(f"{self.path} is not COCO with polygons: a value has the wrong type ({error}).") from error
        self.stems: tuple[str, ...] = tuple(self._sizes)

    def __len__(self) -> int:
        return len(self.stems)

    def __contains__(self, stem: object) -> bool:
        return stem in self._sizes

    def file_name(self, stem: str) -> str:
        """The image's file name as the COCO file writes it."""
        return self._file_names[self._known(stem)]

    def size(self, stem: str) -> tuple[int, int]:
        """The frame's (height, width) in pixels."""
        return self._sizes[self._known(stem)]

    def mask(self, stem: str) -> NDArray[np.bool_]:
        """The vessel mask (H, W) bool of one frame; all False where it has no polygon.

        Raises:
            LabelError: the COCO file has no such frame.
        """
        height, width = self.size(stem)
        canvas = Image.new("L", (width, height))
        draw = ImageDraw.Draw(canvas)
        for polygon in self._polygons[stem]:
            draw.polygon(polygon, fill=1)
        return np.array(canvas, dtype=bool)

    def _known(self, stem: str) -> str:
        if stem not in self._sizes:
            raise LabelError(f"{self.path} has no frame named {stem!r}.")
        return stem

    def _load(self) -> Any:
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.path} is not valid JSON: {error}.") from error

    def _parse(self, document: Any) -> None:
        stem_of: dict[Any, str] = {}
        for image in document["images"]:
            name, identity = str(image["file_name"]), image["id"]
            stem = PurePosixPath(name).stem
            size = (int(image["height"]), int(image["width"]))
            if stem in self._sizes or identity in stem_of:
                raise LabelError(f"{self.path} lists two images with the name {stem!r} or the id {identity}.")
            if not stem or min(size) < 1 or max(size) > LARGEST_SIDE:
                raise LabelError(f"{self.path} lists an image {name!r} without a name or of the size {size}.")
            stem_of[identity] = stem
            self._file_names[stem], self._sizes[stem], self._polygons[stem] = name, size, []
        if not stem_of:
            raise LabelError(f"{self.path} lists no image: an annotation file of a split is needed.")
        for annotation in document["annotations"]:
            identity = annotation["image_id"]
            if identity not in stem_of:
                raise LabelError(f"{self.path} annotates the image id {identity}, but lists no such image.")
            stem = stem_of[identity]
            self._polygons[stem] += self._read_polygons(annotation["segmentation"], stem)

    def _read_polygons(self, segmentation: Any, stem: str) -> list[list[float]]:
        if isinstance(segmentation, dict):
            raise LabelError(f"{self.path} stores frame {stem!r} as run lengths: write its segments as polygons.")
        polygons = [[float(value) for value in polygon] for polygon in segmentation]
        for polygon in polygons:
            # Two points are fewer than COCO wants, but PIL draws them, as a line. Numbers too large for its
            # integers it draws as nothing.
            if len(polygon) % 2 or len(polygon) < 4 or not (np.abs(polygon) < 1e6).all():
                raise LabelError(f"{self.path} has a polygon in frame {stem!r} that is not a list of pairs of x and y.")
        return polygons

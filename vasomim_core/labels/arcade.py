"""ARCADE as it is published: `<split>/images/*.png` and `<split>/annotations/<split>.json` (COCO polygons).

ARCADE: Popov et al., "Dataset for Automatic Region-based Coronary Artery Disease Diagnostics Using X-Ray
Angiography Images", Scientific Data 11 (2024), 20.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vasomim_core.classes import COLOURS, ClassMask, LabelClass, check_classes, of_value
from vasomim_core.errors import ConfigError, InputError, LabelError
from vasomim_core.files import is_special
from vasomim_core.labels.origins import Origin, origin_in
from vasomim_core.labels.run_lengths import RunLengths, unpacked
from vasomim_core.reading import MAX_PIXELS

LARGEST_SIDE = 32_768
"""Longest side of a frame, in pixels, that a COCO file may state: a wrong number must not fill the memory."""
OTHER = "other"
"""The supercategory of what is no vessel."""
OURS = "vasomim label set"
"""The description, in the COCO file's `info`, of one that was made from a label set: its categories are classes."""


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
    """The vessel masks of a COCO file, each drawn when it is asked for, and on demand its categories as classes.

    The mask of a frame is the union of all its polygons and run lengths, whatever their category, unless its
    supercategory is "other". In ARCADE's "syntax" part that is every labelled vessel segment; a `stenosis` polygon
    (category 26) lies on a vessel and counts as vessel too. Each polygon is drawn by `PIL.ImageDraw.Draw.polygon`:
    other rasterisers draw other borders, which moves DSC by 0.1 to 0.3 points and clDice by up to 0.5.

    Names are compared in composed Unicode (NFC): a Mac writes "é" as two characters.

    Attributes:
        path: The COCO file.
        stems: The frames' file names without folder and suffix, in the file's order; each occurs once.
        classes: Its categories; see there.
        ours: Whether it was made from a label set.
        problems: A sentence for each annotation that cannot be drawn and is left out, by the stem of its frame; those
            of no frame are under "".
    """

    def __init__(self, path: Path | str) -> None:
        """Read the COCO file `path` and check it; no mask is drawn yet.

        Raises:
            InputError: the file is missing, not readable, or not JSON.
            LabelError: it is JSON, but not COCO: a key is missing or of the wrong type, there is no image, two images
                share a stem or an id, or no annotation of many can be drawn.
        """
        self.path = Path(path)
        self._sizes: dict[str, tuple[int, int]] = {}
        self._pieces: dict[str, list[tuple[int | None, Piece]]] = {}
        self._categories: list[Any] = []
        self._others: set[int | None] = set()
        self._origins: dict[str, Origin] = {}
        self.problems: dict[str, list[str]] = {}
        document = self._load()
        try:
            self._parse(document)
        except KeyError as error:
            raise LabelError(f"{self.path} is not COCO: the key {error} is missing.") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise LabelError(f"{self.path} is not COCO: a value has the wrong type ({error}).") from error
        self.stems: tuple[str, ...] = tuple(self._sizes)

    def __contains__(self, stem: object) -> bool:
        return isinstance(stem, str) and nfc(stem) in self._sizes

    def size(self, stem: str) -> tuple[int, int]:
        """The frame's (height, width) in pixels."""
        return self._sizes[self._known(stem)]

    def origin(self, stem: str) -> Origin:
        """What its image says of where the frame comes from, under `group` and `frame_index`."""
        return self._origins[self._known(stem)]

    def mask(self, stem: str) -> NDArray[np.bool_]:
        """The vessel mask (H, W) bool of one frame; all False where nothing is annotated.

        Raises:
            LabelError: the COCO file has no such frame.
        """
        pieces = self._pieces[self._known(stem)]
        return _drawn((piece for category, piece in pieces if category not in self._others), self.size(stem))

    @cached_property
    def classes(self) -> tuple[LabelClass, ...]:
        """The categories as classes: the value is the id, the name the name.

        The colour is `color` if that is three numbers, as in COCO's panoptic files, else one of `COLOURS`; all count
        as vessel whose supercategory is not "other".

        Raises:
            LabelError: there are none, or they cannot be classes: see `LabelClass` and `check_classes`.
        """
        if not self._categories:
            raise LabelError(f"{self.path} lists no categories: take the labels as one class.")
        try:
            return check_classes(_class(place, one) for place, one in enumerate(self._categories))
        except ConfigError as error:
            raise LabelError(f"{self.path} has categories that cannot be classes: {error}.") from error

    def class_mask(self, stem: str) -> ClassMask:
        """The mask of one frame as values of `classes`, uint8 (H, W), 0 = background.

        Where annotations overlap, a vessel lies over what is none, and the larger value over the smaller: so ARCADE's
        stenosis is seen on its segment, and the union of the vessel classes is `mask`.

        Raises:
            LabelError: the COCO file has no such frame, or the frame has an annotation of no category.
        """
        found = np.zeros(self.size(stem), np.uint8)
        pieces = self._pieces[self._known(stem)]
        if any(category is None or of_value(self.classes, category) is None for category, _ in pieces):
            raise LabelError(f"{self.path} has an annotation of frame {stem!r} whose category it does not list.")
        for one in sorted(self.classes, key=lambda one: (one.vessel, one.value)):
            of_it = [piece for category, piece in pieces if category == one.value]
            if of_it:
                found[_drawn(of_it, found.shape)] = one.value
        return found

    def _known(self, stem: str) -> str:
        if stem not in self:
            raise LabelError(f"{self.path} has no frame named {stem!r}.")
        return nfc(stem)

    def _load(self) -> Any:
        if is_special(self.path):
            raise InputError(f"{self.path} is a pipe or a device: give a file.")
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.path} is not valid JSON: {error}.") from error

    def _parse(self, document: Any) -> None:
        info = document.get("info")
        self.ours = isinstance(info, dict) and info.get("description") == OURS
        stem_of: dict[Any, str] = {}
        for image in document["images"]:
            name, identity = str(image["file_name"]), image["id"]
            stem = nfc(PurePosixPath(name).stem)
            size = (int(image["height"]), int(image["width"]))
            if stem in self._sizes or identity in stem_of:
                raise LabelError(f"{self.path} lists two images with the name {stem!r} or the id {identity}.")
            if not stem or min(size) < 1 or max(size) > LARGEST_SIDE or size[0] * size[1] > MAX_PIXELS:
                raise LabelError(f"{self.path} lists an image {name!r} without a name or of the size {size}.")
            stem_of[identity] = stem
            self._sizes[stem], self._pieces[stem] = size, []
            self._origins[stem] = origin_in(image)
        if not stem_of:
            raise LabelError(f"{self.path} lists no image: an annotation file of a split is needed.")
        listed = document.get("categories")
        self._categories = listed if isinstance(listed, list) else []
        self._others = {_number(c.get("id")) for c in self._categories if _supercategory(c) == OTHER} - {None}
        annotations = list(document["annotations"])
        for place, annotation in enumerate(annotations):
            self._read(place, annotation, stem_of)
        told = [sentence for sentences in self.problems.values() for sentence in sentences]
        if told and len(told) == len(annotations):
            raise LabelError(f"{told[0]} Of {len(annotations)} annotations none can be drawn.")

    def _read(self, place: int, annotation: Any, stem_of: dict[Any, str]) -> None:
        """Take one annotation, or note what is odd about it."""
        stem, which = "", f"number {place + 1} in the list"
        try:
            which = f"id {annotation['id']}" if isinstance(annotation.get("id"), int) else which
            identity = annotation["image_id"]
            if identity not in stem_of:
                raise ValueError(f"is of image id {identity!r}, which is not listed")
            stem = stem_of[identity]
            category = _number(annotation.get("category_id"))
            pieces = _pieces(annotation["segmentation"], self._sizes[stem])
            self._pieces[stem] += [(category, piece) for piece in pieces]
            return
        except KeyError as error:
            odd = f"has no {error.args[0]}"
        except ValueError as error:
            odd = str(error)
        except (TypeError, AttributeError, OverflowError):
            odd = "has a value of the wrong type"
        of = f" of frame {stem!r}" if stem else ""
        self.problems.setdefault(stem, []).append(f"{self.path}: the annotation ({which}){of} {odd} and is left out.")


Polygon = list[float]
Piece = Polygon | RunLengths


def nfc(name: str) -> str:
    """A name in composed Unicode, in which equal names are equal."""
    return unicodedata.normalize("NFC", name)


def _drawn(pieces: Iterable[Piece], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The union of some pieces, bool (H, W)."""
    pieces = list(pieces)
    canvas = Image.new("L", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    for piece in pieces:
        if isinstance(piece, list):
            draw.polygon(piece, fill=1)
    mask = np.array(canvas, dtype=bool)
    for piece in pieces:
        if isinstance(piece, RunLengths):
            mask |= piece.mask()
    return mask


def _class(place: int, category: Any) -> LabelClass:
    """The class that a category is.

    Raises:
        ConfigError: it cannot be one.
    """
    if not isinstance(category, dict):
        raise ConfigError(f"number {place + 1} is no category")
    rgb, colour = category.get("color"), COLOURS[place % len(COLOURS)]
    if isinstance(rgb, list) and len(rgb) == 3 and all(type(part) is int and 0 <= part < 256 for part in rgb):
        colour = "#{:02x}{:02x}{:02x}".format(*rgb)
    vessel = _supercategory(category) != OTHER
    return LabelClass(category.get("id"), category.get("name"), colour, vessel)  # type: ignore[arg-type]


def _supercategory(category: Any) -> Any:
    return category.get("supercategory") if isinstance(category, dict) else None


def _number(value: Any) -> int | None:
    """An id of a category; None = it is none."""
    return value if type(value) is int else None


def _pieces(segmentation: Any, size: tuple[int, int]) -> list[Piece]:
    """The pieces of one annotation.

    Raises:
        ValueError: it cannot be drawn; the message says why.
    """
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        lengths = unpacked(counts) if isinstance(counts, str) else [int(count) for count in counts]
        if [int(side) for side in segmentation["size"]] != list(size):
            raise ValueError(f"has run lengths for another size than {size[0]}×{size[1]}")
        if min(lengths, default=0) < 0 or sum(lengths) != size[0] * size[1]:
            raise ValueError("has run lengths that do not fill its frame")
        return [RunLengths(tuple(lengths), size)]
    polygons = [[float(value) for value in polygon] for polygon in segmentation]
    for polygon in polygons:
        # Two points are fewer than COCO wants, but PIL draws them, as a line. Numbers too large for its
        # integers it draws as nothing.
        if len(polygon) % 2 or len(polygon) < 4 or not (np.abs(polygon) < 1e6).all():
            raise ValueError("has a polygon that is not a list of pairs of x and y")
    return list(polygons)

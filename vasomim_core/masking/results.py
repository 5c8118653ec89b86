"""What guided masking of one frame comes to, and its numbers in files. Free of torch.

Arrays on the patch grid have shape (rows, columns), those of pixels (S, S) with S the schedule's input size.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.config import Mode
from vasomim_core.errors import InputError
from vasomim_core.files import atomic
from vasomim_core.masking.schedule import MaskingSchedule


@dataclass(frozen=True, eq=False)
class Mask:
    """The mask of one epoch.

    Attributes:
        image: uint8 (S, S), the frame as the model sees it.
        anatomy: bool (S, S).
        f: float32, the vascular distribution on the patch grid.
        masked: bool on the patch grid.
        guided: bool on the patch grid, those of the masked patches that anatomy has chosen.
        epoch: e, from 0.
        beta: β_e.
        thrown: bool on the patch grid, what is neither masked nor seen; None of a schedule's own masks.

    Where a pretrained network of another method chooses (see `MaskingResult.guide`), f is what it says of each patch,
    `guided` are the patches that were masked for it, and β_e is their share.
    """

    image: NDArray[np.uint8]
    anatomy: NDArray[np.bool_]
    f: NDArray[np.float32]
    masked: NDArray[np.bool_]
    guided: NDArray[np.bool_]
    epoch: int
    beta: float
    thrown: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class OverEpochs:
    """What the whole schedule does to one frame.

    Attributes:
        masking_ratio: float32 on the patch grid, the share of all epochs in which a patch is masked.
        epochs: int64 (n,), from 0, spread evenly over the schedule.
        betas: float64 (n,), β of each of them.
        vessel_patches: float32 (n,), the share of the patches with vessel that is masked in such an epoch, the mean
            over `frame_masking.SAMPLES` masks; not a number where there is no vessel.
        vessel_pixels: float32 (n,), the share of the vessel pixels, likewise.
    """

    masking_ratio: NDArray[np.float32]
    epochs: NDArray[np.int64]
    betas: NDArray[np.float64]
    vessel_patches: NDArray[np.float32]
    vessel_pixels: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What a pretrained model makes of one mask.

    Attributes:
        reconstruction: float32 (S, S), I′ in grey levels 0 … 255: the whole output of the decoder, also where it saw
            the frame, as the consistency term takes it.
        filled: float32 (S, S), the frame with I′ in its masked patches alone.
        l_rec: L_rec, over the masked patches.
        vessels: float32 (S, S) in [0, 1], sigmoid(S(I)); None without a segmentor.
        vessels_again: float32 (S, S) in [0, 1], sigmoid(S(I′)); None without a segmentor.
        l_cons: L_cons; None without a segmentor.
    """

    reconstruction: NDArray[np.float32]
    filled: NDArray[np.float32]
    l_rec: float
    vessels: NDArray[np.float32] | None = None
    vessels_again: NDArray[np.float32] | None = None
    l_cons: float | None = None

    @property
    def difference(self) -> NDArray[np.float32] | None:
        """sigmoid(S(I′)) − sigmoid(S(I)), float32 (S, S) in [−1, 1]."""
        if self.vessels is None or self.vessels_again is None:
            return None
        return self.vessels_again - self.vessels


@dataclass(frozen=True, eq=False)
class MaskingResult:
    """All of it for one frame and one schedule.

    Attributes:
        schedule: the settings.
        anatomy: how the vessels were found.
        model: name of the model that draws, or "".
        mask: of one epoch.
        over_epochs: of the whole schedule.
        reconstruction: by the model; None without one.
        guide: name of the pretrained network whose method's masks these are, or ""; then of the schedule only sizes,
            epochs and seed count.
        by: what of that network chooses, see `catalogue.GUIDES`; "" = anatomy does.
    """

    schedule: MaskingSchedule
    anatomy: Mode
    model: str
    mask: Mask
    over_epochs: OverEpochs
    reconstruction: Reconstruction | None = None
    guide: str = ""
    by: str = ""

    def settings(self) -> dict[str, Any]:
        """What it was made with, as plain values."""
        schedule = asdict(self.schedule)
        if self.guide:
            schedule = {name: schedule[name] for name in ("input_size", "patch_size", "epochs", "seed")}
            schedule |= {"guide": self.guide, "guided_by": self.by}
        return schedule | {"epoch": self.mask.epoch, "anatomy": self.anatomy, "model": self.model}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything by the name of its attribute."""
        parts = (self.mask, self.over_epochs, self.reconstruction)
        named = {name: value for part in parts if part is not None for name, value in vars(part).items()}
        return {name: np.asarray(value) for name, value in named.items() if value is not None}


def save_npz(path: Path, results: Mapping[str, MaskingResult]) -> None:
    """Write all arrays of the results, and their settings as JSON, to one NPZ file.

    Args:
        path: of the file.
        results: by a suffix of their arrays' names: "" for one alone, "_a" and "_b" for two.

    Raises:
        InputError: the file cannot be written.
    """
    arrays: dict[str, Any] = {}
    for suffix, result in results.items():
        arrays |= {name + suffix: array for name, array in result.arrays().items()}
        arrays["settings" + suffix] = np.array(json.dumps(result.settings()))
    _write(path, lambda file: np.savez_compressed(file, **arrays))


def save_csv(path: Path, results: Mapping[str, MaskingResult]) -> list[Path]:
    """Write the numbers of every patch, and the curves over the epochs beside them as `<stem>_curves.csv`.

    Args:
        path: of the file.
        results: see `save_npz`; those of one call are on the same patch grid, over the same epochs.

    Returns:
        The two files.

    Raises:
        InputError: a file cannot be written, or the results are on different patch grids.
    """
    if len({result.mask.f.shape for result in results.values()}) > 1:
        raise InputError("The two have other patches, and a table has one row for a patch; save the numbers as NPZ.")
    first = next(iter(results.values()))
    row, column = np.indices(first.mask.f.shape)
    patches: dict[str, Any] = {"row": row, "column": column}
    curves: dict[str, Any] = {"epoch": first.over_epochs.epochs}
    for suffix, result in results.items():
        mask, over = result.mask, result.over_epochs
        planes = {"f": mask.f, "masked": mask.masked.astype(int), "guided": mask.guided.astype(int)}
        if mask.thrown is not None:
            planes["thrown"] = mask.thrown.astype(int)
        patches |= {name + suffix: plane for name, plane in (planes | {"masking_ratio": over.masking_ratio}).items()}
        for name in ("betas", "vessel_patches", "vessel_pixels"):
            curves[name.replace("betas", "beta") + suffix] = getattr(over, name)
    files = [path, path.with_name(f"{path.stem}_curves.csv")]
    for file, table in zip(files, (patches, curves), strict=True):
        _write_table(file, table.keys(), zip(*(np.ravel(values).tolist() for values in table.values()), strict=True))
    return files


def _write_table(path: Path, names: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(names)
            table.writerows(rows)

    _write(path, write)


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    try:
        with atomic(path) as temporary:
            write(temporary)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> InputError:
    """A file that cannot be written, as a sentence."""
    return InputError(
        f"{path.name} cannot be written ({error.strerror or type(error).__name__}); choose another folder."
    )

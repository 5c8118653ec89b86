"""Figures and numbers of guided masking, written where a person wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_vasomim.background.threads import run_in_background
from napari_vasomim.notify import inform
from vasomim_core.masking.results import MaskingResult, save_csv, save_npz

NUMBERS = "NumPy arrays (*.npz);;Tables of patches and epochs (*.csv)"


def ask_path(parent: QWidget, title: str, name: str) -> Path | None:
    """Ask where a file is to be written; its kind is that of the name which is offered."""
    suffix = Path(name).suffix
    path, _ = QFileDialog.getSaveFileName(parent, title, name, f"{suffix[1:].upper()} (*{suffix})")
    return Path(path).with_suffix(suffix) if path else None


def save_figure(parent: QWidget, path: Path, write: Callable[[Path], Any]) -> None:
    """Write a figure in a thread, and tell where it is."""
    run_in_background(parent, lambda: write(path), lambda _: inform(f"The figure is in {path.name}."))


def ask_numbers(parent: QWidget, name: str) -> Path | None:
    """Ask where numbers are to be written, and as what."""
    path, kind = QFileDialog.getSaveFileName(parent, "Save numbers", name, NUMBERS)
    if not path:
        return None
    given = Path(path).suffix.lower()
    return Path(path).with_suffix(given if given in (".npz", ".csv") else ".csv" if "csv" in kind else ".npz")


def save_numbers(parent: QWidget, path: Path, results: Mapping[str, MaskingResult]) -> None:
    """Write results as NPZ or CSV, by the name of the file, and tell where they are."""
    if path.suffix == ".npz":
        run_in_background(parent, lambda: save_npz(path, results), lambda _: inform(f"The numbers are in {path.name}."))
    else:
        told_in = "The numbers are in {0.name} (patches) and {1.name} (epochs)."
        run_in_background(parent, lambda: save_csv(path, results), lambda files: inform(told_in.format(*files)))

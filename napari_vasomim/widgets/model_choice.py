"""The choice of a model: one of the registered ones, or a file."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QSizePolicy
from superqt.utils import signals_blocked

from napari_vasomim import plain
from napari_vasomim.notify import report_error, report_errors
from vasomim_core.errors import CheckpointError
from vasomim_core.models import catalogue
from vasomim_core.models.catalogue import Card, model_name

FILE = "use a file…"
Text = Callable[[str, Card], str]


def _by_name(name: str, card: Card) -> str:
    return name


class ModelChoice(QComboBox):
    """Offers the registered models of some kinds, and files.

    Args:
        kinds: what can be chosen.
        refusal: what is said of a file of another kind, after its name: "a {kind}; choose …".
        tooltip: what the model is for.
        none: the words for no model, whose name is ""; "" = a model is needed.
        text: what a registered model is called in the list, from its name and card.
        fits: which of these kinds, from their cards.
    """

    chosen = Signal(str)
    """A person has chosen this name or path."""

    def __init__(
        self,
        kinds: Collection[str],
        refusal: str,
        tooltip: str,
        none: str = "",
        text: Text = _by_name,
        fits: Callable[[Card], bool] = lambda card: True,
    ):
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(plain.tooltip(tooltip))
        self._refusal, self._none, self._text = refusal, none, text
        self._kinds, self._which = kinds, fits
        self._cards: dict[str, Card] = {}
        self._files: list[str] = []
        self._current = ""
        self.activated.connect(report_errors(self._activated))

    @property
    def current(self) -> str:
        """The name or path of the model that is chosen; "" where none is."""
        return self._current

    @property
    def card(self) -> Card | None:
        """The card of the chosen model; None where none is chosen, or it is gone."""
        return self._cards.get(self._current)

    def words(self) -> str:
        """What the card of the chosen model says to a person."""
        card = self.card
        if card is None:
            return ""
        lines = [card.description] if card.description else []
        for where, scores in card.scores.items():
            if isinstance(scores, dict) and "dsc" in scores:
                lines.append(f"DSC {scores['dsc']:.1f} on {where} ({scores.get('frames', '?')} frames)")
        return "\n".join(lines)

    def offers(self, name_or_path: str) -> bool:
        """Whether there is such a model now."""
        return name_or_path in self._registered() or Path(name_or_path).exists()

    def fill(self, chosen: str) -> None:
        """Offer what is registered now, with this name or path chosen; `chosen` is not emitted."""
        self._cards = self._registered()
        names = {"": self._none} if self._none else {}
        names |= {name: self._text(name, card) for name, card in self._cards.items()}
        names |= {file: model_name(file) for file in self._files if Path(file).exists()}
        if chosen not in names:  # never another one without a word
            names[chosen] = model_name(chosen) + ("" if Path(chosen).exists() else " (missing)")
        with signals_blocked(self):
            self.clear()
            for name, text in {**names, FILE: FILE}.items():
                self.addItem(text, name)
            self.setCurrentIndex(self.findData(chosen))
        self._current = chosen

    def use(self, name_or_path: str) -> None:
        """Choose a registered model or a file; one that cannot be used is told, and the choice stays."""
        try:
            if name_or_path and name_or_path not in self._registered():
                self._check_file(Path(name_or_path))
                self._files.append(name_or_path)
        except Exception as error:
            report_error(error)
            self.fill(self._current)
        else:
            self.fill(name_or_path)
            self.chosen.emit(name_or_path)

    def _check_file(self, path: Path) -> None:
        card = catalogue.read_card(path)
        if not self._fits(card):
            raise CheckpointError(f"{path.name} is {self._refusal.format(kind=card.kind)}")

    def _fits(self, card: Card) -> bool:
        return card.kind in self._kinds and self._which(card)

    def _activated(self, row: int) -> None:
        name = self.itemData(row)
        if name == FILE:
            name, _ = QFileDialog.getOpenFileName(self, "A model file", "", "VasoMIM models (*.safetensors)")
            if not name:
                self.fill(self._current)
                return
        self.use(name)

    def _registered(self) -> dict[str, Card]:
        return {name: card for name, card in catalogue.models().items() if self._fits(card)}

"""What a finetuning run learns to tell apart. Free of torch, so that a window can say it before the run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vasomim_core.classes import CATHETER, MAIN, OTHER, LabelClass, check_classes, new_class, what_changes
from vasomim_core.config import FinetuneConfig
from vasomim_core.data.codes import Term, terms
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.labels.labelled import label_classes
from vasomim_core.models.catalogue import known_card


@dataclass(frozen=True)
class Lesson:
    """What there is to tell apart.

    Attributes:
        classes: of the model, in the order of its outputs.
        labelled: values of those that the labels have.
        catheter: code of a catheter in a synthetic frame.
    """

    classes: tuple[LabelClass, ...]
    labelled: tuple[int, ...]
    catheter: int = 0

    @property
    def thresholds(self) -> dict[str, float]:
        """By class name: what the labels have is of its class from one half on, others take what is left of vessel."""
        left_out = any(one.vessel and one.value not in self.labelled for one in self.classes)
        return {one.name: 0.5 for one in self.classes if left_out and one.value in self.labelled}

    @property
    def meaning(self) -> dict[int, tuple[Term, ...]]:
        """What the codes of the labels say."""
        return terms(self.classes, self.labelled)


def lesson_of(config: FinetuneConfig, had: tuple[LabelClass, ...]) -> Lesson:
    """What a run learns to tell apart.

    Where labels are complete, these are their classes. Else they are main branches, and other branches are learned
    too; with synthetic frames, which show where it is, also the catheter.

    Args:
        config: the settings.
        had: classes that the labels have.

    Raises:
        LabelError: `complete` is off and the labels have too many classes already, or one of those names.
    """
    values = tuple(one.value for one in had)
    catheter = next((one.value for one in had if not one.vessel and one.name.casefold() == CATHETER), 0)
    if config.complete:
        return Lesson(had, values, catheter)
    if len(had) == 1:
        had = (replace(had[0], name=MAIN),)
    classes = [*had, new_class(had, OTHER)]
    if config.synthetic and not catheter:
        classes.append(new_class(classes, CATHETER, vessel=False))
        catheter = classes[-1].value
    try:
        return Lesson(check_classes(classes), values, catheter)
    except ConfigError as error:
        raise LabelError(f"{config.labels} cannot be completed by other branches: {error}.") from error


def class_change(config: FinetuneConfig) -> str:
    """What becomes of the classes of the model to start from, in one sentence; empty = it knows those that it learns.

    No frame and no mask is read.

    Raises:
        LabelError: the labels are none, or do not go with the settings.
        InputError: an annotation file that cannot be read.
    """
    start = known_card(config.init)
    if start is None or not start.segments:
        return ""
    return what_changes(start.classes, lesson_of(config, label_classes(config.labels, config.categories)).classes)

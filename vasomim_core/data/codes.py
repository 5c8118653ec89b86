"""What a label says of a pixel, also where it does not say everything: class values, and codes beyond them.

Labels may hold the main branches alone, and a filter or a model may be nearly sure of others. A code stands for
terms: the classes that a pixel may have, with a weight each. What is to be learned from a pixel is the probability of
those classes together (learning from partial labels: Cour, Sapp & Taskar, JMLR 12, 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vasomim_core.classes import LARGEST_VALUE, LabelClass

NO_VESSEL = LARGEST_VALUE + 1
"""Background, or a class that is no vessel and is not labelled everywhere."""
SOME_VESSEL = LARGEST_VALUE + 2
"""Vessel, of any class."""
LIKELY = LARGEST_VALUE + 3
"""Something that the labels leave out: a class which they do not have."""
BESIDE = LARGEST_VALUE + 4
"""Not of a class that the labels have; nothing else is known. The rim of what is likely."""
DOUBTFUL = LARGEST_VALUE + 5
"""As `BESIDE`, and hardly a sign of background: what looks like a thin vessel must not teach that it is none."""
FAINT = LARGEST_VALUE + 6
"""As `LIKELY`, with less weight: a thin line that hangs together with what is labelled or likely."""
STRAY = LARGEST_VALUE + 7
"""As `DOUBTFUL`, with more weight: far from every vessel, where bones and wires look like vessels, too."""
UNKNOWN = 255

LIKELY_WEIGHT, FAINT_WEIGHT = 0.6, 0.4
DOUBTFUL_WEIGHT, STRAY_WEIGHT = 0.08, 0.35


@dataclass(frozen=True)
class Term:
    """Some classes that a pixel may have.

    Attributes:
        channels: theirs, 0 = background, k + 1 = the k-th class.
        weight: of the term in the loss, in (0, 1].
    """

    channels: tuple[int, ...]
    weight: float = 1.0


def terms(classes: Sequence[LabelClass], labelled: Sequence[int] | None = None) -> dict[int, tuple[Term, ...]]:
    """What each code says.

    Args:
        classes: of the model, in the order of its outputs.
        labelled: values of the classes that the labels have; None = all of them.

    Returns:
        Terms by code; of codes without an entry nothing is known.
    """
    every = range(1 + len(classes))
    vessels = tuple(k for k, one in enumerate(classes, 1) if one.vessel)
    no_vessel = tuple(k for k in every if k not in vessels)
    had = {k for k, one in enumerate(classes, 1) if labelled is None or one.value in labelled}
    left_out = tuple(k for k in every if k and k not in had)
    beside = tuple(k for k in every if k not in had)
    found: dict[int, tuple[Term, ...]] = {0: (Term((0,)),)}
    found |= {one.value: (Term((k,)),) for k, one in enumerate(classes, 1)}
    found[NO_VESSEL] = (Term(no_vessel),)
    found[SOME_VESSEL] = (Term(vessels),)
    found[BESIDE] = (Term(beside),)
    for code, weight in ((DOUBTFUL, DOUBTFUL_WEIGHT), (STRAY, STRAY_WEIGHT)):
        found[code] = (Term(beside, 1 - weight), Term(no_vessel, weight))
    if left_out:
        found[LIKELY], found[FAINT] = (Term(left_out, LIKELY_WEIGHT),), (Term(left_out, FAINT_WEIGHT),)
    return found

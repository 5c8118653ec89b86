"""What codes say of a pixel."""

from __future__ import annotations

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.data import codes
from vasomim_core.data.codes import Term, terms

CLASSES = (LabelClass(1, "main"), LabelClass(2, "other"), LabelClass(5, "catheter", vessel=False))


def test_with_complete_labels_each_value_is_its_class():
    meaning = terms(CLASSES)
    assert [meaning[value] for value in (0, 1, 2, 5)] == [(Term((k,)),) for k in range(4)]
    assert codes.LIKELY not in meaning  # there is nothing that the labels leave out


def test_where_main_branches_alone_are_labelled():
    meaning = terms(CLASSES, labelled=[1])
    assert meaning[codes.NO_VESSEL] == (Term((0, 3)),)
    assert meaning[codes.SOME_VESSEL] == (Term((1, 2)),)
    assert meaning[codes.LIKELY] == (Term((2, 3), 0.6),)
    assert meaning[codes.BESIDE] == (Term((0, 2, 3)),)
    assert meaning[codes.FAINT] == (Term((2, 3), 0.4),)
    assert meaning[codes.STRAY] == (Term((0, 2, 3), 0.65), Term((0, 3), 0.35))
    assert meaning[codes.DOUBTFUL] == (Term((0, 2, 3), 0.92), Term((0, 3), 0.08))
    assert codes.UNKNOWN not in meaning


def test_one_class_is_background_or_vessel():
    assert terms(VESSEL)[codes.SOME_VESSEL] == terms(VESSEL)[1] == (Term((1,)),)
    assert terms(VESSEL)[codes.NO_VESSEL] == terms(VESSEL)[0]


def test_no_code_is_the_value_of_a_class():
    assert min(codes.NO_VESSEL, codes.SOME_VESSEL, codes.LIKELY, codes.BESIDE, codes.DOUBTFUL, codes.UNKNOWN) > 99

"""A label set of three classes, one of which is no vessel; their values are not 1, 2, 3."""

from __future__ import annotations

from vasomim_core.classes import LabelClass

LAD = LabelClass(1, "LAD", "#e8413c")
LCX = LabelClass(2, "LCX", "#3ca0e8")
CATHETER = LabelClass(5, "catheter", "#f2b134", vessel=False)
THREE = (LAD, LCX, CATHETER)

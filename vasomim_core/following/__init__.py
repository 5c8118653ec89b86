"""Vessels through a run: where to begin, the motion, drawn masks carried along it, probabilities made steady."""

from vasomim_core.following.carrying import Followed, follow, unsure
from vasomim_core.following.choosing import ChosenFrame, choose_frame
from vasomim_core.following.flicker import steady

__all__ = ["ChosenFrame", "Followed", "choose_frame", "follow", "steady", "unsure"]

"""Vessels through a run: the frame to begin with, the motion from frame to frame, drawn masks carried along it, probabilities made steady."""

from vasomim_core.following.carrying import Followed, follow
from vasomim_core.following.choosing import ChosenFrame, choose_frame
from vasomim_core.following.flicker import steady

__all__ = ["ChosenFrame", "Followed", "choose_frame", "follow", "steady"]

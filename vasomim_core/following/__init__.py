"""Vessels through a run: the motion from frame to frame, drawn masks carried along it, probabilities made steady."""

from vasomim_core.following.follow import Followed, follow
from vasomim_core.following.steady import steady

__all__ = ["Followed", "follow", "steady"]

"""Vessels through a run: the motion from frame to frame, drawn masks carried along it, probabilities made steady."""

from vasomim_core.following.carrying import Followed, follow
from vasomim_core.following.flicker import steady

__all__ = ["Followed", "follow", "steady"]

"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No timed tests: a busy machine is no defect.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

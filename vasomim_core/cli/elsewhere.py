"""What a terminal shows of a run on another machine."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm

from vasomim_core.cli.common import printable
from vasomim_core.remote.running import Watcher
from vasomim_core.remote.sending import Listing


class Terminal(Watcher):
    """Shows a run on another machine as one here is shown: sentences, and on a terminal a bar of its steps."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="step", disable=None, leave=False)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def listed(self, listing: Listing) -> None:
        """Say what is going to be sent."""
        self.said(f"sends {listing}")

    def said(self, sentence: str) -> None:
        """Say a sentence."""
        tqdm.write(printable(sentence), file=sys.stderr)

    def event(self, event: dict[str, Any]) -> None:
        """Move the bar."""
        if event["event"] == "start":
            self._bar.total = event.get("steps")
        if event["event"] in ("start", "step", "pace"):
            self._bar.update(event.get("resumed", event.get("step", 0)) - self._bar.n)
        if "loss" in event:
            self._bar.set_postfix(epoch=event.get("epoch"), loss=f"{event['loss']:.4f}")

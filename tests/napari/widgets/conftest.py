"""What the tests of the panels share: the one inference child, and a record of what it was asked."""

from __future__ import annotations

import pytest

from napari_vasomim.background import engine
from vasomim_core.inference.requests import Hello


@pytest.fixture(scope="session", autouse=True)
def _one_child():
    yield
    engine.shared().close()


@pytest.fixture
def calls(monkeypatch):
    """The requests that the engine was asked."""
    asked, call = [], engine.shared().call

    def counted(request):
        if not isinstance(request, Hello):
            asked.append(request)
        return call(request)

    monkeypatch.setattr(engine.shared(), "call", counted)
    return asked

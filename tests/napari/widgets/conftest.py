"""What the tests of the panels share: the one inference child, and a record of what it was asked."""

from __future__ import annotations

import pytest

from napari_vasomim.background import engine


@pytest.fixture(scope="session", autouse=True)
def _one_child():
    yield
    engine.shared().close()


@pytest.fixture
def calls(monkeypatch):
    """What the engine was asked for, as (method, arguments)."""
    asked, call = [], engine.shared().call

    def counted(method, **arguments):
        if method != "hello":
            asked.append((method, arguments))
        return call(method, **arguments)

    monkeypatch.setattr(engine.shared(), "call", counted)
    return asked

"""What a person is told: one sentence in the notification area, never a traceback."""

from __future__ import annotations

import functools
import platform
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

from napari.utils.notifications import Notification, NotificationSeverity, notification_manager, show_info, show_warning

from vasomim_core.errors import VasoMIMError

F = TypeVar("F", bound=Callable[..., Any])
MOST_SHOWN = 6
"""Sentences that fit into one notification."""


def counted(count: int, noun: str) -> str:
    """A number of things in words: "1 stroke", "2 strokes"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def untagged(text: str) -> str:
    """The same for napari's own labels, which take words that look like HTML for rich text: "<" opens no tag in it."""
    return text.replace("<", "<\u2060")  # a joiner of no width


def inform(sentence: str) -> None:
    """Something went well that cannot be seen otherwise."""
    show_info(untagged(sentence))


def warn(sentence: str) -> None:
    """Something needs the person."""
    show_warning(untagged(sentence))


def warn_of_several(heading: str, sentences: Sequence[str]) -> None:
    """Several things need the person: the first of them are shown, and all can be copied."""
    shown = [f"{heading}:", *sentences[:MOST_SHOWN]]
    if len(sentences) > MOST_SHOWN:
        shown.append(f"… and {len(sentences) - MOST_SHOWN} more.")
    notification_manager.dispatch(
        Notification(
            untagged("\n".join(shown)),
            NotificationSeverity.WARNING,
            actions=(("Copy the list", lambda _: copy("\n".join(sentences))),),
        )
    )


def report_error(error: BaseException) -> None:
    """An error as one sentence; an unexpected one can be copied as a report."""
    if isinstance(error, VasoMIMError):
        warn(str(error))
        return
    report = report_of(error)
    notification_manager.dispatch(
        Notification(
            f"Something unexpected went wrong ({type(error).__name__}); nothing that was drawn is lost. "
            "Copy the report and send it to the developers.",
            NotificationSeverity.WARNING,
            actions=(("Copy report", lambda _: copy(report)),),
        )
    )


def report_of(error: BaseException) -> str:
    """What a developer needs: versions and the places in the code, without the values, which may name a person."""
    places = [
        f"  {frame.filename.rpartition('site-packages')[2].rpartition('napari_vasomim')[2] or frame.name}"
        f":{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("napari-vasomim", "napari", "torch", "numpy"))
    return "\n".join([f"{versions}, Python {platform.python_version()}", *places, type(error).__name__])


def copy(text: str) -> None:
    """Put a text into the clipboard."""
    from qtpy.QtWidgets import QApplication

    QApplication.clipboard().setText(text)


def report_errors(function: F) -> F:
    """Decorate what a click or an event calls: errors become a sentence, and the window goes on."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            report_error(error)
            return None

    return wrapper  # type: ignore[return-value]

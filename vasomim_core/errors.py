"""The errors that a person gets to read.

Each message is one sentence that says what is wrong, where (the file or field), and what to do.
The command line prints the sentence alone and exits with 1; anything else that escapes is a defect of ours.
"""

from __future__ import annotations


class VasoMIMError(Exception):
    """Base of every error meant for a person. `str(error)` is the sentence to show."""


class InputError(VasoMIMError):
    """A file or array that cannot be used: missing, empty, truncated, of an unknown kind, not finite."""


class CodecError(InputError):
    """A readable file whose compression needs a package that is not installed; the message names it."""


class LabelError(VasoMIMError):
    """Labels that do not fit: no mask for a frame, another size, a broken or unsplittable label set."""


class CheckpointError(VasoMIMError):
    """A checkpoint that is not ours, of another architecture, or not safe to load."""


class ConfigError(VasoMIMError):
    """A setting out of range, unknown, or in contradiction to another."""


class RunError(VasoMIMError):
    """A training run that cannot start, go on or be resumed."""


class LockedError(VasoMIMError):
    """Something that one process works on at a time, and another one does.

    Attributes:
        holder: who works on it, in words by `str`; None where that is not known.
    """

    def __init__(self, sentence: str, holder: object = None):
        super().__init__(sentence)
        self.holder = holder


class RemoteError(VasoMIMError):
    """Another machine that cannot be reached or used, or something there that went wrong."""

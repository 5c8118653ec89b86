"""What a person can send to somebody who helps: everything about a run except what may name a patient or a person."""

from __future__ import annotations

import json
import platform
import re
import sys
import sysconfig
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

import vasomim_core
from napari_vasomim.runs.folder import tail
from vasomim_core.config import card_settings
from vasomim_core.errors import ConfigError, VasoMIMError
from vasomim_core.remote.machines import machine_named
from vasomim_core.remote.place import place_of
from vasomim_core.training.events import read_events
from vasomim_core.training.runs import load_config

PACKAGES = ("napari-vasomim", "torch", "timm", "monai", "numpy", "opencv-python-headless", "pydicom", "napari")
SUFFIXES = "png|jpe?g|tiff?|npy|dcm|ima|json|ya?ml|safetensors|pth?|py|log"


def report(run: Path) -> str:
    """Settings without paths, versions, the last events and the last lines of output, as text.

    Folders and files of the person, names of frames and other machines become RUN, ~, DATA, PATH, NAME, MACHINE, HOST.
    """
    events = list(read_events(run))[-20:]
    data: list[Path] = []
    try:
        config = load_config(run)
        settings = yaml.safe_dump(card_settings(config), sort_keys=False)
        named = (getattr(config, name, None) for name in ("labels", "val", "data", "init", "segmentor"))
        data = [Path(value) for value in named if value is not None and Path(value).parent != Path()]
    except ConfigError as error:
        settings = str(error)
    scrub = _Scrubber(run, data, _machine_words(run))
    parts = {
        "settings": scrub(settings).rstrip(),
        "versions": _versions(),
        "last events": "\n".join(json.dumps(scrub.values(event), ensure_ascii=False) for event in events),
        "output": scrub("\n".join(tail(run, 40))),
    }
    return "\n\n".join(f"{title}\n{'-' * len(title)}\n{text}" for title, text in parts.items()) + "\n"


class _Scrubber:
    """Takes out of a text what may name somebody: known folders, any other absolute path, names of frames, hosts."""

    def __init__(self, run: Path, data: list[Path], words: dict[str, str]):
        self._words = sorted(words.items(), key=lambda pair: -len(pair[0]))
        # The longest come first: a run may lie in the home folder. Code keeps its place, for the sake of tracebacks.
        code = {
            str(Path(vasomim_core.__file__).parents[1]): "CODE",
            sysconfig.get_path("purelib"): "PACKAGES",
            sysconfig.get_path("stdlib"): "PYTHON",
            sys.prefix: "ENV",
        }
        hidden = {str(p): "DATA" for path in data for p in (path, path.absolute(), path.resolve())}
        kept = {**code, str(Path.home()): "~", **{str(p): "RUN" for p in (run, run.absolute(), run.resolve())}}
        self._hidden = [(re.escape(k), v) for k, v in sorted(hidden.items(), key=lambda kv: -len(kv[0]))]
        self._kept = [(re.escape(k), v) for k, v in sorted(kept.items(), key=lambda kv: -len(kv[0])) if len(k) > 1]

    def __call__(self, text: str) -> str:
        # Below a folder of frames every name may be a patient's: it goes to its suffix, or as far as it can reach.
        rest = rf"(?:[\\/](?:[^\n]*?\.(?:{SUFFIXES})\b|[^\n:;,\"']*))?"
        for pattern, name in self._hidden:
            text = re.sub(pattern + rest, name, text)
        for pattern, name in self._kept:
            text = re.sub(pattern, name, text)
        for word, name in self._words:
            text = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", name, text)
        text = re.sub(r"(?<![\w.~])(?:[A-Za-z]:[\\/]|/)[^\s/][^\n:;,\"'()]*", "PATH", text)
        text = re.sub(r"~[\\/][^\n:;,\"'()]*", "~/PATH", text)
        return re.sub(r"\(first: [^\n)]*\)", "(first: NAME)", text)

    def values(self, value: Any) -> Any:
        """The same for every text within a value."""
        if isinstance(value, dict):
            return {k: self.values(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.values(v) for v in value]
        return self(value) if isinstance(value, str) else value


def _machine_words(run: Path) -> dict[str, str]:
    """What stands for the machine that computes a run, and for its host."""
    words: dict[str, str] = {}
    with suppress(VasoMIMError):
        if (place := place_of(run)) is not None:
            words[place.machine] = "MACHINE"
            user, _, host = machine_named(place.machine).host.rpartition("@")
            words |= {word: "HOST" for word in (f"{user}@{host}", host) if word.strip("@")}
    return words


def _versions() -> str:
    lines = [f"python {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return "\n".join(lines)

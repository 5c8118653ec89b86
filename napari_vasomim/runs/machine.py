"""What this machine offers a training run, without loading torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache

import psutil


def memory() -> tuple[int, bool]:
    """Free memory in bytes for a training process, and whether it is a CUDA device's."""
    free = _cuda_memory()
    return (free, True) if free else (int(psutil.virtual_memory().available), False)


def load() -> float:
    """Processes that ran or waited to run in the last minute, per processor: above 1 they wait for each other."""
    return float(psutil.getloadavg()[0]) / (psutil.cpu_count() or 1)


@cache
def _cuda_memory() -> int:
    """Free bytes of the first CUDA device; 0 where there is none. Asks once: the answer takes a tenth of a second."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    hidden = 0
    if sys.platform == "win32":
        hidden = subprocess.CREATE_NO_WINDOW
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=memory.free", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            creationflags=hidden,
        )
        return int(answer.stdout.splitlines()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0

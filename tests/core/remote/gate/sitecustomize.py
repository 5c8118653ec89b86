"""On the far side of a test a run waits at a step until a file is there ($WAIT_FOR), or ends itself ($DIE_AT), or does
not even begin ($FAIL), or never comes to train ($READS_FOR_EVER), or takes its time for each step ($PACE, in seconds).
A run of a comparison waits at its start, in the folder of the name $HOLD. SLURM is asked all the time.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

if "vasomim_core" in sys.orig_argv:  # a run, and no request
    if os.environ.get("FAIL"):
        sys.exit(1)
    if os.environ.get("READS_FOR_EVER"):
        Path("run").mkdir()
        Path("run/events.jsonl").write_text('{"event": "prepare", "done": 1, "total": 2}\n')
        signal.pause()
    from vasomim_core.training.events import EventLog

    write = EventLog.write

    def wait():
        while (gate := os.environ.get("WAIT_FOR")) and not Path(gate).exists():
            time.sleep(0.02)

    def write_and_wait(log, event, **values):
        write(log, event, **values)
        if event == "start" and log._path.parent.name == os.environ.get("HOLD"):
            wait()
        if event != "step" or log._path.parent.name != "run":  # or of the segmentor that comes first
            return
        if values["step"] == 3:
            wait()
        time.sleep(float(os.environ.get("PACE", 0)))
        if str(values["step"]) == os.environ.get("DIE_AT"):
            os.kill(os.getpid(), signal.SIGKILL)

    EventLog.write = write_and_wait

elif "vasomim_core.remote.far" in sys.orig_argv:
    from vasomim_core.remote import by_slurm

    by_slurm.PAUSES = (0.2,)

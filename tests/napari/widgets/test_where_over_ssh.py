"""One run on another machine from the panel, over a real SSH server on loopback: sent, cut off, reached again, used."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from napari_vasomim.runs import jobs
from napari_vasomim.widgets.finetune import FinetunePanel
from napari_vasomim.widgets.send import SendDialog
from tests.core.remote.server import SSHD, Server
from vasomim_core.remote.machines import Machine, save_machine
from vasomim_core.synthetic import write_samples
from vasomim_core.training.events import read_events

from ..mouse import click

ROOT = Path(__file__).resolve().parents[3]
GATE = ROOT / "tests" / "core" / "remote" / "gate"
pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("no_orphans"),
    pytest.mark.skipif(
        SSHD is None or shutil.which("ssh") is None,
        reason="no OpenSSH server and client are installed (Debian: openssh-server, openssh-client)",
    ),
]


@pytest.fixture
def server(tmp_path):
    (tmp_path / "sshd").mkdir()
    one = Server(tmp_path / "sshd")
    one.start()
    yield one
    one.close()


def test_a_run_over_ssh_from_the_panel(qtbot, model, beside, tmp_path, server, monkeypatch, notifications):
    monkeypatch.setattr(jobs, "LOWEST", 0)
    far, gate = tmp_path / "far", tmp_path / "gate"
    paths = shlex.quote(f"{GATE}:{ROOT}")
    setup = f"export PYTHONPATH={paths} OMP_NUM_THREADS=1 WAIT_FOR={shlex.quote(str(gate))}"
    save_machine("department", Machine("far", str(far), sys.executable, setup, ssh_config=server.config()))
    write_samples(tmp_path / "labels", 6, size=64)
    panel = beside(model, FinetunePanel)
    panel.where.choice.setCurrentIndex(panel.where.choice.findData("department"))
    panel.use_data(tmp_path / "labels")
    qtbot.waitUntil(panel.start.isEnabled, timeout=20_000)
    panel.base.use("")
    small = {"frame_size": 64, "input_size": 64, "training.epochs": 4, "training.batch_size": 4,
             "training.log_every": 1, "training.precision": "fp32", "training.device": "cpu"}  # fmt: skip
    for key, value in small.items():
        panel.settings.editor(key).set(value)

    def agree(dialog):
        qtbot.waitUntil(dialog.send.isEnabled, timeout=60_000)
        assert dialog._work.busy is False
        dialog.send.click()
        return dialog.result()

    monkeypatch.setattr(SendDialog, "exec_", agree, raising=False)
    click(qtbot, panel.start)

    def until(*states, seconds=180):
        qtbot.waitUntil(lambda: panel.view.job.status().state in states, timeout=1000 * seconds)
        panel.view.refresh()
        return panel.view.state.text()

    assert "Asks department" in panel.view.state.text()
    qtbot.waitUntil(lambda: panel.view.job.status().epoch == 3, timeout=180_000)  # there it waits for the gate
    panel.view.refresh()
    assert "running on department" in panel.view.state.text()
    assert "on CPU of department" in panel.view.facts.text()
    server.cut_off()
    assert "Meanwhile the run goes on there" in until("cut off")
    server.start()
    assert "running on department" in until("running")
    gate.touch()
    assert "Finished" in until("finished", "failed")
    assert [event["step"] for event in read_events(panel.view.run) if event["event"] == "step"] == [1, 2, 3, 4]
    assert not far.exists()
    click(qtbot, panel.view.use)
    qtbot.waitUntil(lambda: panel.session.model == panel.view.run.name, timeout=20_000)
    qtbot.waitUntil(lambda: not panel.view.job.status().alive, timeout=20_000)

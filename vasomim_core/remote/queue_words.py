"""What SLURM says of a job, in sentences for people."""

from __future__ import annotations

from collections.abc import Mapping

WAITS = {
    "Resources": "for resources that others use",
    "Priority": "behind jobs that come first",
    "Dependency": "for another job",
    "BeginTime": "for its time to begin; SLURM puts back for a while what it has taken off a node",
    "JobHeldUser": "and is held: `scontrol release` lets it begin",
    "JobHeldAdmin": "and is held by an administrator: ask why",
    "PartitionDown": "for its partition, which is down",
    "PartitionInactive": "for its partition, which is not open",
    "PartitionTimeLimit": "for ever: it asks for more hours than its partition allows, so cancel it and ask for fewer",
    "PartitionNodeLimit": "for ever: its partition is too small for it, so cancel it and ask for less",
    "ReqNodeNotAvail": "for nodes that are down or reserved",
    "Licenses": "for a licence",
    "None": "to be looked at",
}
"""For what a job waits, by the reason that SLURM gives; limits of an account have many names."""
ENDS = {
    "TIMEOUT": "SLURM ended the run on {name} at its time limit",
    "DEADLINE": "SLURM ended the run on {name} at its deadline",
    "PREEMPTED": "SLURM ended the run on {name} for a job that comes first (preempted)",
    "OUT_OF_MEMORY": "the run on {name} took more main memory than it had asked for: describe the machine with more",
    "NODE_FAIL": "the node of {name} that computed the run has failed",
    "BOOT_FAIL": "the node of {name} that was to compute the run did not start",
    "CANCELLED": "the run on {name} was cancelled in SLURM",
    "REVOKED": "the run on {name} was taken from this cluster by another",
    "UNKNOWN": "SLURM on {name} does not know the run any more",
}
"""Why a run has ended without a word of its own, by the state of its job."""
SAVED = "it was asked there to save its state and stop, as SLURM does shortly before the time limit of a run"


def in_queue(name: str, queue: Mapping[str, str]) -> str:
    """Where a run is, in words.

    Args:
        name: of the machine.
        queue: what SLURM says of the job, see `started.Standing`.

    Returns:
        A sentence; empty = there is nothing to be said.
    """
    state, reason, node = (queue.get(key, "") for key in ("state", "reason", "node"))
    if state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"):
        known = next((words for start, words in WAITS.items() if reason.startswith(start)), "")
        when = queue.get("start", "")
        soon = f"; SLURM expects it to begin at {when.replace('T', ' ')}" if when[:1].isdigit() else ""
        return f"waits in the queue of {name} {known or f'({reason})'}{soon}"
    if state in ("CONFIGURING", "RUNNING"):
        return f"begins on {node} of {name}"
    if state in ("SUSPENDED", "STOPPED"):
        return f"is suspended on {node} of {name} until SLURM lets it go on"
    return ""


def ended_by(name: str, queue: Mapping[str, str]) -> str:
    """Why a run has ended without a word, in words; empty = SLURM does not know, or there is none."""
    return ENDS.get(queue.get("state", ""), "").format(name=name)

"""The one training loop. It knows optimisation, precision, processes, resuming and reporting, but no task.

What makes a run repeatable is that nothing random has a state: the order of an epoch is a function of (seed, epoch),
a crop of (seed, epoch, frame), a mask of (seed, step, row). A resumed run therefore needs the weights, the
optimiser and the step number alone, and two processes draw what one would have drawn. (They still differ where a
layer looks at its whole batch or draws by itself: batch normalisation and drop path, in finetuning.)

The device is never asked for a value in between: losses add up on it and are read every `log_every` steps.

Where memory does not suffice for a batch, it is computed in more parts from then on, and the events say so.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset
from tqdm import tqdm

from vasomim_core.config import Training
from vasomim_core.errors import RunError
from vasomim_core.files import atomic
from vasomim_core.models.registry import choose_device
from vasomim_core.training.batches import Batch, BatchPlan, Moment
from vasomim_core.training.events import EventLog
from vasomim_core.training.host import resident_memory, stop_on_request
from vasomim_core.training.optimisation import learning_rate, native_bf16
from vasomim_core.training.processes import Processes
from vasomim_core.training.runs import STATE

PACE = 30.0
"""Seconds without a word on the steps after which a run tells how far it is."""

L = TypeVar("L", bound=nn.Module)


@dataclass
class Job(Generic[L]):
    """What a task hands to the loop.

    Attributes:
        name: pretrain, finetune or segmentor.
        learner: computes its own losses: `forward(batch, moment)` → scalars by name, "loss" among them.
        groups: optimiser parameter groups; `lr_scale` multiplies the learning rate.
        frames: map-style data set whose items are asked for as (epoch, index).
        save_model: writes the usable model file; called with the learner (its averaged copy when EMA is on), its
            scores and the number of epochs that it has learned for.
        validate: scores by name, the first of which decides; None = the last state is the model.
        validate_every: epochs between two validations.
        validate_start: score the model before its first step as well: training may not leave it worse than it was.
        patience: validations without a gain after which the run ends.
        notes: further fields for each step event (the guidance strength, say).
    """

    name: str
    learner: L
    groups: list[dict[str, Any]]
    frames: Dataset[Batch]
    save_model: Callable[[L, dict[str, float], int], None]
    validate: Callable[[L], dict[str, float]] | None = None
    validate_every: int = 1
    validate_start: bool = False
    patience: int | None = None
    notes: Callable[[int], dict[str, float]] = lambda epoch: {}


@dataclass
class _State:
    """Everything a resumed run needs besides weights and optimiser."""

    step: int = 0
    best: float = -math.inf
    stale: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    counted: int = 0


def run_training(job: Job[L], settings: Training, run: Path, log: EventLog, processes: Processes) -> str:
    """Train until the last epoch, a request to stop (see `host`), or the end of patience.

    Args:
        job: what to train.
        settings: how.
        run: the run folder; a state in it is resumed.
        log: where it says what it does.
        processes: this process's place among those of `torchrun`.

    Returns:
        "finished", "stopped" or "patience". In each case the run folder holds a usable model.

    Raises:
        RunError: the loss is no longer finite.
    """
    device = processes.device(choose_device(settings.device))
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=True)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and native_bf16(device))
    learner = job.learner.to(device)
    optimiser = torch.optim.AdamW(job.groups, lr=settings.learning_rate, betas=settings.betas, fused=True)
    # Warmed up, else the first epochs' average is that of a network which has hardly learned.
    ema = ModelEmaV3(learner, decay=settings.ema, use_warmup=True) if settings.ema else None

    total = len(job.frames)  # type: ignore[arg-type]
    plan = BatchPlan(total, settings, processes)
    if total < settings.batch_size:
        log.write(
            "warning",
            message=f"{total} frames are fewer than a batch of {settings.batch_size}; frames repeat in a batch",
        )
    state = _load(run, learner, optimiser, ema)
    wrapped: Any = learner
    if processes.count > 1:
        if device.type == "cuda":
            learner = nn.SyncBatchNorm.convert_sync_batchnorm(learner)
        wrapped = DistributedDataParallel(learner, device_ids=[device.index] if device.type == "cuda" else None)
    steps = plan.steps
    log.write(
        "start",
        job=job.name,
        frames=total,
        steps=steps,
        epochs=settings.epochs,
        device=str(device),
        precision="bf16" if bf16 else "fp32",
        processes=processes.count,
        parameters=sum(p.numel() for p in learner.parameters() if p.requires_grad),
        resumed=state.step,
        pid=os.getpid(),
    )
    loader = plan.loader(job.frames, device, state.step)
    averaged: L = ema.module if ema else learner
    began, first = time.perf_counter(), state.step
    told = began
    sums: dict[str, Tensor] = {k: torch.tensor(v, device=device, dtype=torch.float64) for k, v in state.totals.items()}
    bar = tqdm(
        total=steps,
        initial=state.step,
        desc=job.name,
        unit="step",
        disable=None if processes.first else True,
        leave=False,
    )
    reason = "finished"

    def pace(step: int) -> tuple[float, float]:
        """Steps per second since this process began, and the seconds that are left."""
        speed = (step + 1 - first) / (time.perf_counter() - began)
        return speed, round((steps - step - 1) / speed, 1)

    def read(step: int, epoch: int, rate: float) -> None:
        """The only place where the device is waited for: losses are read, checked, written."""
        means = {k: processes.mean(v / state.counted) for k, v in sums.items()}
        if not all(math.isfinite(v) for v in means.values()):
            raise RunError(
                f"the loss is not finite any more at step {step + 1} (epoch {epoch + 1}) of {run}; "
                f"resume with a learning rate below {settings.learning_rate:g} or with --precision fp32"
            )
        speed, eta = pace(step)
        log.write(
            "step",
            step=step + 1,
            epoch=epoch + 1,
            **{k: round(v, 6) for k, v in means.items()},
            learning_rate=rate,
            **job.notes(epoch),
            frames_per_second=round(speed * settings.batch_size, 2),
            eta=eta,
            memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident_memory(),
        )
        bar.set_postfix(epoch=epoch + 1, loss=f"{means['loss']:.4f}", refresh=False)
        sums.clear()
        state.counted = 0

    def gradients(step: int, epoch: int) -> dict[str, Tensor]:
        """Add up the gradients of one batch, part after part; its losses."""
        torch.manual_seed(_seed(settings.seed, step, processes.rank))  # dropout and drop path
        means: dict[str, Tensor] = {}
        for part in range(plan.parts):
            batch = {k: v.to(device, non_blocking=True) for k, v in next(loader).items()}
            moment = Moment(step, epoch, plan.rows(part), plan.batch_size, settings.seed)
            last = part == plan.parts - 1
            with wrapped.no_sync() if processes.count > 1 and not last else nullcontext():
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    losses = wrapped(batch, moment)
                (losses["loss"] / plan.parts).backward()
            for name, value in losses.items():
                means[name] = means.get(name, 0.0) + value.detach().double() / plan.parts
        return means

    with stop_on_request(run) as stop:
        if job.validate_start and state.step == 0:
            _validate(job, averaged, state, log, processes, epoch=0)
        learner.train()
        for step in range(state.step, steps):
            epoch = step // plan.steps_per_epoch
            rate = learning_rate(step, steps, epoch, settings)
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            means = None
            while means is None:
                try:
                    means = gradients(step, epoch)
                except RuntimeError as error:
                    parts = plan.more_parts()
                    if not _out_of_memory(error) or parts is None:
                        raise
                    optimiser.zero_grad(set_to_none=True)
                    plan = BatchPlan(total, replace(settings, accumulate=parts), processes)
                    loader = plan.loader(job.frames, device, step)
                    log.write("warning", message=f"memory did not suffice; batches are now computed in {parts} parts")
            for name, value in means.items():
                sums[name] = sums.get(name, 0.0) + value
            if settings.clip is not None:
                norm = nn.utils.clip_grad_norm_(learner.parameters(), settings.clip)
                sums["gradient_norm"] = sums.get("gradient_norm", 0.0) + norm.double()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if ema:
                ema.update(learner, step=step)
            state.step, state.counted = step + 1, state.counted + 1
            bar.update()

            epoch_ends = (step + 1) % plan.steps_per_epoch == 0
            done = step + 1 == steps
            due = job.validate is not None and epoch_ends and ((epoch + 1) % job.validate_every == 0 or done)
            saving = (step + 1) % settings.save_every == 0
            # Nothing is validated or saved before its loss has been found finite.
            reading = (step + 1) % settings.log_every == 0 or done or due or saving
            if reading:
                read(step, epoch, rate)
                told = time.perf_counter()
            elif step == first or time.perf_counter() - told > PACE:  # whoever waits wants to know for how long
                log.write("pace", step=step + 1, epoch=epoch + 1, eta=pace(step)[1])
                told = time.perf_counter()
            if due:
                _validate(job, averaged, state, log, processes, epoch + 1)
                learner.train()
                if job.patience and state.stale >= job.patience:
                    reason = "patience"
            if (reading or processes.count == 1) and processes.any(stop.asked, device):
                reason = "stopped"
            ending = reason != "finished" or done
            if ending or saving:
                state.totals = {k: float(v) for k, v in sums.items()}
                if processes.first:
                    _save(run, learner, optimiser, ema, state)
                log.write("checkpoint", step=step + 1)
            if ending:
                break
    bar.close()
    if processes.first and (job.validate is None or not math.isfinite(state.best)):
        job.save_model(averaged, {}, math.ceil(state.step / plan.steps_per_epoch))
    return reason


def _validate(job: Job[L], network: L, state: _State, log: EventLog, processes: Processes, epoch: int) -> None:
    """Score the model after so many epochs and keep it when it is the best so far; all processes decide alike."""
    if job.validate is None:
        return
    network.eval()
    scores = job.validate(network)
    value = processes.mean(torch.tensor(next(iter(scores.values())), dtype=torch.float64))
    improved = value > state.best
    state.best, state.stale = max(state.best, value), 0 if improved else state.stale + 1
    log.write("validation", step=state.step, epoch=epoch, scores=scores, best=state.best, improved=improved)
    if improved and processes.first:
        job.save_model(network, scores, epoch)


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _save(
    run: Path, learner: nn.Module, optimiser: torch.optim.Optimizer, ema: ModelEmaV3 | None, state: _State
) -> None:
    with atomic(run / STATE) as temporary:
        torch.save(
            {
                "learner": learner.state_dict(),
                "optimiser": optimiser.state_dict(),
                "ema": ema.module.state_dict() if ema else None,
                "state": vars(state),
            },
            temporary,
        )


def _load(run: Path, learner: nn.Module, optimiser: torch.optim.Optimizer, ema: ModelEmaV3 | None) -> _State:
    path = run / STATE
    if not path.is_file():
        return _State()
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        learner.load_state_dict(saved["learner"])
        optimiser.load_state_dict(saved["optimiser"])
        if ema:
            ema.module.load_state_dict(saved["ema"])
        return _State(**saved["state"])
    except (RuntimeError, ValueError, KeyError, TypeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise RunError(f"{path} does not fit the settings in its run folder; start a new run ({error})") from error

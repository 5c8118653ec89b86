"""The one trainer. It knows optimisation, precision, processes, resuming and reporting, but no task.

What makes a run repeatable is that nothing random has a state (see `seeding`): the order of an epoch is a function of
(seed, epoch), a crop of (seed, epoch, frame), a mask of (seed, step, row). A resumed run therefore needs the weights,
the optimiser and the step number alone, and two processes draw what one would have drawn. (They still differ where a
layer looks at its whole batch or draws by itself: batch normalisation and drop path, in finetuning.)

The device is never asked for a value in between: losses add up on it and are read every `log_every` steps.

Where memory does not suffice for a batch, it is computed in more parts from then on, and the events say so.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from vasomim_core.config import Training
from vasomim_core.errors import RunError
from vasomim_core.models.registry import choose_device
from vasomim_core.training.batches import BatchPlan, Moment
from vasomim_core.training.events import EventLog
from vasomim_core.training.host import resident_memory, stop_on_request
from vasomim_core.training.optimisation import learning_rate, native_bf16
from vasomim_core.training.processes import Processes
from vasomim_core.training.result import Reason
from vasomim_core.training.runs import STATE
from vasomim_core.training.seeding import seed_layers
from vasomim_core.training.state import TrainingState
from vasomim_core.training.task import L, Task

PACE = 30.0
"""Seconds without a word on the steps after which a run tells how far it is."""


class Trainer(Generic[L]):
    """Trains one task in one run folder, from its last checkpoint on where there is one.

    Args:
        task: what to train.
        settings: how.
        folder: the run folder.
        log: where it says what it does.
        processes: this process's place among those of `torchrun`.

    Raises:
        RunError: the checkpoint in the folder is not one of this task, or a batch does not divide into its parts.
    """

    def __init__(self, task: Task[L], settings: Training, folder: Path, log: EventLog, processes: Processes):
        self.task, self.settings, self.folder, self.log, self.processes = task, settings, folder, log, processes
        self.device = processes.device(choose_device(settings.device))
        self.bf16 = settings.precision == "bf16" or (settings.precision == "auto" and native_bf16(self.device))
        torch.use_deterministic_algorithms(settings.deterministic, warn_only=True)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        self.learner = task.learner.to(self.device)
        self.optimiser = torch.optim.AdamW(task.groups, lr=settings.learning_rate, betas=settings.betas, fused=True)
        # Warmed up, else the first epochs' average is that of a network which has hardly learned.
        self.ema = ModelEmaV3(self.learner, decay=settings.ema, use_warmup=True) if settings.ema else None
        if task.whole_batches and settings.accumulate > 1:
            raise RunError(
                "this method compares the frames of a batch with one another, so a batch cannot be computed in "
                f"{settings.accumulate} parts; choose --accumulate 1 and a smaller --batch-size"
            )
        self.plan = BatchPlan(len(task.frames), settings, processes)  # type: ignore[arg-type]
        if self.plan.frames < settings.batch_size:
            log.write(
                "warning",
                message=f"{self.plan.frames} frames are fewer than a batch of {settings.batch_size}; "
                "frames repeat in a batch",
            )
        self.state = TrainingState(self.learner, self.optimiser, self.ema)
        if processes.bring(folder / STATE):
            self.state.load(folder / STATE)
        self.progress = self.state.progress
        self.sums: dict[str, Tensor] = {
            name: torch.tensor(total, device=self.device, dtype=torch.float64)
            for name, total in self.progress.totals.items()
        }
        self.parallel: Any = self.learner
        if processes.count > 1:
            if self.device.type == "cuda":
                self.learner = nn.SyncBatchNorm.convert_sync_batchnorm(self.learner)
            devices = [self.device.index] if self.device.type == "cuda" else None
            self.parallel = DistributedDataParallel(self.learner, device_ids=devices)
        log.write(
            "start",
            job=task.name,
            frames=self.plan.frames,
            steps=self.plan.steps,
            epochs=settings.epochs,
            device=str(self.device),
            precision="bf16" if self.bf16 else "fp32",
            processes=processes.count,
            parameters=sum(p.numel() for p in self.learner.parameters() if p.requires_grad),
            resumed=self.progress.step,
            pid=os.getpid(),
        )
        self.batches = self.plan.loader(task.frames, self.device, self.progress.step)
        self.first = self.progress.step
        self.began = self.told = time.perf_counter()
        self.bar = tqdm(
            total=self.plan.steps,
            initial=self.first,
            desc=task.name,
            unit="step",
            disable=None if processes.first else True,
            leave=False,
        )

    @property
    def epoch(self) -> int:
        """The epoch of the last step, counted from 1; 0 before the first step."""
        return math.ceil(self.progress.step / self.plan.steps_per_epoch)

    @property
    def network(self) -> L:
        """What is validated and saved: the average of what has been learned, where there is one."""
        return self.ema.module if self.ema else self.learner

    def run(self) -> Reason:
        """Train until the last epoch, a request to stop (see `host`), or the end of patience.

        Returns:
            Why it ended. In each case the run folder holds a usable model.

        Raises:
            RunError: the loss is no longer finite.
        """
        reason: Reason = "finished"
        with stop_on_request(self.folder) as stop, self.bar:
            if self.task.validate_start and self.progress.step == 0:
                self.validate()
            self.learner.train()
            while self.progress.step < self.plan.steps and reason == "finished":
                self.step()
                done = self.progress.step == self.plan.steps
                saving = self.progress.step % self.settings.save_every == 0
                validating = self.validates_now()
                # Nothing is validated or saved before its loss has been found finite.
                reporting = done or saving or validating or self.progress.step % self.settings.log_every == 0
                if reporting:
                    self.report()
                else:
                    self.report_pace()
                if validating:
                    self.validate()
                    if self.task.patience and self.progress.stale >= self.task.patience:
                        reason = "patience"
                # Several processes ask each other, and do so only where they wait for each other anyway.
                if (reporting or self.processes.count == 1) and self.processes.any(stop.asked, self.device):
                    reason = "stopped"
                if done or saving or reason != "finished":
                    self.checkpoint()
        if self.processes.first and (self.task.validate is None or not math.isfinite(self.progress.best)):
            self.task.save_model(self.network, {}, self.epoch)
        return reason

    def step(self) -> None:
        """Learn from one batch."""
        step = self.progress.step
        rate = self.rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        moment = self.moment(0)
        if step % self.plan.steps_per_epoch == 0:
            self.task.before_epoch(moment.epoch)
        losses = None
        while losses is None:
            try:
                losses = self.gradients(step)
            except RuntimeError as error:
                if not _out_of_memory(error) or not self.shrink_batch():
                    raise
        if self.settings.clip is not None:
            norm = nn.utils.clip_grad_norm_(self.learner.parameters(), self.settings.clip)
            losses["gradient_norm"] = norm.double()
        self.task.before_step(moment, self.optimiser)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.task.after_step(moment)
        if self.ema:
            self.ema.update(self.learner, step=step)
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.progress.step += 1
        self.progress.counted += 1
        self.bar.update()

    def gradients(self, step: int) -> dict[str, Tensor]:
        """Add up the gradients of one batch, part after part; its losses, float64 scalars on the device."""
        seed_layers(self.settings.seed, step, self.processes.rank)
        losses: dict[str, Tensor] = {}
        for part in range(self.plan.parts):
            batch = {name: value.to(self.device, non_blocking=True) for name, value in next(self.batches).items()}
            moment = self.moment(part)
            last = part == self.plan.parts - 1
            with self.parallel.no_sync() if self.processes.count > 1 and not last else nullcontext():
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                    found = self.parallel(batch, moment)
                (found["loss"] / self.plan.parts).backward()
            for name, value in found.items():
                losses[name] = losses.get(name, 0.0) + value.detach().double() / self.plan.parts
        return losses

    def moment(self, part: int) -> Moment:
        """Where in the run the step in hand and one part of its batch stand."""
        step, plan = self.progress.step, self.plan
        epoch = step // plan.steps_per_epoch
        return Moment(step, epoch, plan.rows(part), plan.batch_size, self.settings.seed, plan.steps)

    def shrink_batch(self) -> bool:
        """Compute batches in more parts from now on, the one in hand once more; False = they do not divide further."""
        parts = None if self.task.whole_batches else self.plan.more_parts()
        if parts is None:
            return False
        self.optimiser.zero_grad(set_to_none=True)
        self.plan = BatchPlan(self.plan.frames, replace(self.settings, accumulate=parts), self.processes)
        self.batches = self.plan.loader(self.task.frames, self.device, self.progress.step)
        self.log.write("warning", message=f"memory did not suffice; batches are now computed in {parts} parts")
        return True

    def report(self) -> None:
        """Read the losses since the last report, check them and write them: only here the device is waited for."""
        step, epoch = self.progress.step, self.epoch
        means = {name: self.processes.mean(total / self.progress.counted) for name, total in self.sums.items()}
        if not all(math.isfinite(mean) for mean in means.values()):
            raise RunError(
                f"the loss is not finite any more at step {step} (epoch {epoch}) of {self.folder}; "
                f"resume with a learning rate below {self.settings.learning_rate:g} or with --precision fp32"
            )
        speed = self.speed()
        self.log.write(
            "step",
            step=step,
            epoch=epoch,
            **{name: round(mean, 6) for name, mean in means.items()},
            learning_rate=self.rate(step - 1),
            **self.task.notes(epoch - 1),
            frames_per_second=round(speed * self.settings.batch_size, 2),
            eta=self.seconds_left(),
            memory=torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else resident_memory(),
        )
        self.bar.set_postfix(epoch=epoch, loss=f"{means['loss']:.4f}", refresh=False)
        self.sums.clear()
        self.progress.counted = 0
        self.told = time.perf_counter()

    def report_pace(self) -> None:
        """Tell how long it will take, after the first step and where the next report is long in coming."""
        if self.progress.step == self.first + 1 or time.perf_counter() - self.told > PACE:
            self.log.write("pace", step=self.progress.step, epoch=self.epoch, eta=self.seconds_left())
            self.told = time.perf_counter()

    def validate(self) -> None:
        """Score the network, and keep it as the model where it is the best so far; all processes decide alike."""
        if self.task.validate is None:
            return
        self.network.eval()
        scores = self.task.validate(self.network)
        self.learner.train()
        value = self.processes.mean(torch.tensor(next(iter(scores.values())), dtype=torch.float64))
        improved = value > self.progress.best
        self.progress.best = max(self.progress.best, value)
        self.progress.stale = 0 if improved else self.progress.stale + 1
        self.log.write(
            "validation",
            step=self.progress.step,
            epoch=self.epoch,
            scores=scores,
            best=self.progress.best,
            improved=improved,
        )
        if improved and self.processes.first:
            self.task.save_model(self.network, scores, self.epoch)

    def validates_now(self) -> bool:
        """Whether a validation is due after the step that was taken last."""
        if self.task.validate is None or self.progress.step % self.plan.steps_per_epoch:
            return False
        return self.epoch % self.task.validate_every == 0 or self.progress.step == self.plan.steps

    def checkpoint(self) -> None:
        """Write a state from which the run can be resumed."""
        self.progress.totals = {name: float(total) for name, total in self.sums.items()}
        if self.processes.first:
            self.state.save(self.folder / STATE)
        self.log.write("checkpoint", step=self.progress.step)

    def rate(self, step: int) -> float:
        """The learning rate of a 0-based step."""
        return learning_rate(step, self.plan.steps, step // self.plan.steps_per_epoch, self.settings)

    def speed(self) -> float:
        """Steps per second since this process began."""
        return (self.progress.step - self.first) / (time.perf_counter() - self.began)

    def seconds_left(self) -> float:
        """Until the last epoch, at this speed."""
        return round((self.plan.steps - self.progress.step) / self.speed(), 1)


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)

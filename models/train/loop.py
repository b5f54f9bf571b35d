"""What every training run here has in common: schedule, averaged weights, checkpoints, a log."""

import copy
import json
import math
import os
import queue
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import default_collate


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class Log:
    """Lines on the terminal and in a file of the run."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.txt"

    def __call__(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        with open(self.path, "a") as file:
            file.write(line + "\n")


class Run:
    """One stage of training: weights, their moving average, the optimiser, and the step that is next.

    Several processes of one thread each make their own samples and gradients and take turns at stepping
    the shared weights: nobody waits for anybody, which on a busy machine is worth more than the
    gradient being of the very last weights. Sample n is always the same; the order of steps is not.

    A run that was interrupted goes on from its last checkpoint.
    """

    def __init__(self, net, settings: dict, folder: Path, name: str, log):
        self.net, self.settings, self.name, self.log = net, settings, name, log
        self.path = folder / f"{name}.pt"
        self.trained = [weight for weight in net.parameters() if weight.requires_grad]
        self.average = copy.deepcopy(net).eval()
        self.optimiser = torch.optim.AdamW(
            self.trained, lr=settings["rate"], betas=(0.9, 0.99), weight_decay=settings.get("decay", 1e-4)
        )
        # A step of nothing makes the optimiser's memory, which the processes then share.
        for weight in self.trained:
            weight.grad = torch.zeros_like(weight)
        for group in self.optimiser.param_groups:
            group["lr"] = 0.0
        self.optimiser.step()
        self.counter = torch.zeros(2, dtype=torch.int64)  # the next batch, and the steps taken
        if self.path.exists():
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.counter[:] = state["step"]
            log(f"{name}: goes on at step {self.step}")
        else:
            for memory in self._memory():
                memory.zero_()
        for tensor in (self.counter, *self._memory(), *net.state_dict().values(), *self.average.state_dict().values()):
            tensor.share_memory_()

    def _memory(self):
        return [value for state in self.optimiser.state.values() for value in state.values()]

    @property
    def step(self) -> int:
        return int(self.counter[1])

    @property
    def done(self) -> bool:
        return self.step >= self.settings["steps"]

    def rate(self) -> float:
        """Cosine decay after a short warm-up."""
        first, last = self.settings["rate"], self.settings["rate"] * self.settings.get("last", 0.03)
        warm = min(1.0, (self.step + 1) / self.settings.get("warm", 100))
        share = min(1.0, self.step / self.settings["steps"])
        return warm * (last + (first - last) * 0.5 * (1 + math.cos(math.pi * share)))

    def train(self, samples, losses, glance) -> None:
        """Until the last step. `losses` gives the parts of the loss of a network and a batch, by name."""
        context = torch.multiprocessing.get_context("fork")
        lock, notes = context.Lock(), context.Queue()
        workers = [
            context.Process(target=self._work, args=(samples, losses, lock, notes), daemon=True)
            for _ in range(self.settings["workers"])
        ]
        for worker in workers:
            worker.start()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{self.name}: ended at step {self.step}"))
        saved, seen, recent = Every(self.settings.get("save", 120)), Every(self.settings.get("look", 240)), []
        try:
            while not self.done:
                try:
                    recent.append(notes.get(timeout=5))
                except queue.Empty:
                    if not all(worker.is_alive() for worker in workers):
                        raise SystemExit(f"{self.name}: a process of the training ended too early")
                if saved():
                    with lock:
                        self.save()
                if seen():
                    self._look(recent[-400:], glance)
                    recent = recent[-400:]
        finally:
            for worker in workers:
                worker.kill()
                worker.join()
            self.save()
        self._look(recent[-400:], glance)

    def _look(self, recent, glance) -> None:
        means = " ".join(f"{name} {np.mean([note[name] for note in recent]):.4f}" for name in (recent or [{}])[-1])
        self.log(f"{self.name} step {self.step} rate {self.rate():.1e} {means} | {glance(self.average)}")

    def _work(self, samples, losses, lock, notes) -> None:
        """One process: a batch, its gradient at a copy of the weights, a step."""
        torch.set_num_threads(1)
        net, size = copy.deepcopy(self.net), self.settings["batch"]
        own = [weight for weight in net.parameters() if weight.requires_grad]
        while True:
            with lock:
                first = int(self.counter[0]) * size
                self.counter[0] += 1
                net.load_state_dict(self.net.state_dict())
            torch.manual_seed(first)
            batch = default_collate([samples[(first + number) % len(samples)] for number in range(size)])
            parts = losses(net, *batch)
            sum(parts.values()).backward()
            slope = torch.nn.utils.clip_grad_norm_(own, self.settings.get("clip", 1.0))
            with lock:
                self._step([weight.grad for weight in own])
            net.zero_grad(set_to_none=True)
            notes.put({**{name: float(part.detach()) for name, part in parts.items()}, "slope": float(slope)})

    def _step(self, gradients) -> None:
        for weight, gradient in zip(self.trained, gradients):
            weight.grad = gradient
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.optimiser.step()
        self.counter[1] += 1
        # An average over more steps than were taken would remember the random start.
        keep = min(self.settings.get("average", 0.998), self.step / (self.step + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.net.state_dict().values()):
                mean.lerp_(now, 1 - keep)

    def save(self) -> None:
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.path)


class Every:
    """True at most once in so many seconds."""

    def __init__(self, seconds: float):
        self.seconds, self.last = seconds, time.time()

    def __call__(self) -> bool:
        due = time.time() - self.last >= self.seconds
        if due:
            self.last = time.time()
        return due


def psnr(made: np.ndarray, truth: np.ndarray) -> float:
    """Of values 0..255."""
    error = np.mean((np.asarray(made, np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def as_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")

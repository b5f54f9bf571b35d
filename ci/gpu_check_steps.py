"""The steps of gpu_check: what is tried, what counts as wrong, and the table."""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import threading
import time
from typing import Iterable, List, NamedTuple, Optional, Tuple

from gpu_check_prepare import CheckError, Place

# What pictures of a GPU in fp32 may differ from the processor's, and in fp16.
LEAST_PSNR = {"fp32": 60.0, "fp16": 50.0}
MOST_LEVELS = {"fp32": 1, "fp16": None}
# MiB by which the process and the GPU may grow from the first fifth of the frames to the last.
MOST_GROWTH = 16.0
# Of a bare session's speed what the whole element should have, and of a frame's time what steadying may take.
LEAST_RATIO, MOST_STEADYING = 0.85, 0.15
# Ends of a provider's name in examples/providers, and what they try.
TRIALS = {":nhwc": "channels last", ":fused": "biases fused", ":nhwc:fused": "channels last, biases fused"}
# A step that hangs is not waited for longer, in seconds.
LONGEST_STEP = 150


class Bar(NamedTuple):
    """What is asked where so many faces are in pictures of a size; it is told of every network and precision, and one that keeps it is enough."""

    size: str
    faces: int
    frames_per_second: float


class Plan(NamedTuple):
    """What is tried. Sizes are of the input."""

    providers: Tuple[str, ...]
    models: Tuple[str, ...]
    sizes: Tuple[str, ...]
    faces: Tuple[int, ...]
    equality: str
    # Size, factor, bits of a sample and temporal mode.
    blends: Tuple[Tuple[str, int, int, str], ...]
    # A size at which TRIALS are made, or none.
    layout: Optional[str]
    frames: int
    soak: Tuple[str, int]
    bars: Tuple[Bar, ...]


class Gpu:
    """Load and memory of the GPU while something runs, from nvidia-smi twice a second."""

    def __init__(self):
        self.load: List[float] = []
        self.memory: List[float] = []
        self.process: Optional[subprocess.Popen] = None

    def __enter__(self) -> "Gpu":
        if shutil.which("nvidia-smi"):
            fields = "--query-gpu=utilization.gpu,memory.used"
            command = ["nvidia-smi", "-i", "0", fields, "--format=csv,noheader,nounits", "-lms", "500"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.thread = threading.Thread(target=self._read, daemon=True)
            self.thread.start()
        return self

    def _read(self) -> None:
        for line in self.process.stdout:
            try:
                load, memory = (float(cell) for cell in line.split(","))
            except ValueError:
                continue
            self.load.append(load)
            self.memory.append(memory)

    def __exit__(self, *_) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.thread.join()

    def told(self) -> str:
        if not self.load:
            return "unknown"
        return f"{statistics.median(self.load):.0f} %, {max(self.memory):.0f} MiB"


def machine() -> str:
    """Which GPU there is; without one nothing is tried."""
    if not shutil.which("nvidia-smi"):
        raise CheckError("there is no nvidia-smi, so no NVIDIA driver: nothing can be tried; --dry-run tries the script")
    fields = "--query-gpu=name,driver_version,memory.total"
    done = subprocess.run(["nvidia-smi", fields, "--format=csv,noheader"], capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip().splitlines() or ["it says nothing"]
    if done.returncode:
        raise CheckError(f"nvidia-smi shows no GPU: {said[-1]}")
    return said[0]


class Check:
    def __init__(self, place: Place, plan: Plan, deadline: float, about: str):
        self.place, self.plan, self.deadline, self.about = place, plan, deadline, about
        self.failures: List[str] = []
        self.left_out: List[str] = []
        self.rows: List[Tuple[str, ...]] = []
        self.usable: List[str] = []
        self.bars: List[str] = []

    def tool(self, *words, most: float = LONGEST_STEP) -> dict:
        """What examples/providers says; CheckError with its reason where it fails."""
        left = self.deadline - time.monotonic()
        if left < 5:
            raise CheckError("no time was left")
        command = [str(self.place.tool), *map(str, words)]
        limit = min(left, most)
        try:
            done = subprocess.run(command, env={**os.environ, **self.place.environment()}, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            raise CheckError(f"it was stopped after {limit:.0f} s") from None
        except OSError as error:
            raise CheckError(f"{command[0]}: {error.strerror}") from None
        if done.returncode:
            raise CheckError((done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1])
        # Libraries of others may have said something before.
        answer = (done.stdout.splitlines() or ["nothing"])[-1]
        try:
            return json.loads(answer)
        except ValueError:
            raise CheckError(f"it answered what is no JSON: {answer[:200]}") from None

    def step(self, what: str, run) -> None:
        """Runs a step; one that cannot run is noted with the reason, and whatever happens to it, the others run."""
        print(f"gpu_check: {what}", flush=True)
        try:
            run()
        except CheckError as error:
            print(f"gpu_check: {what}: not run: {error}", flush=True)
            self.left_out.append(f"{what}: {error}")
        except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
            self.wrong(f"{what}: the answer cannot be understood: {type(error).__name__} {error}")

    def wrong(self, text: str) -> None:
        print(f"gpu_check: WRONG: {text}", flush=True)
        self.failures.append(text)

    def row(self, what: str, provider: str, *cells) -> None:
        row = (what, provider, *(str(cell) for cell in cells))
        self.rows.append(row)
        # At once, for who is stopped before the table.
        print(f"gpu_check: {' | '.join(row)}", flush=True)

    def run(self) -> None:
        for provider in self.plan.providers:
            self.step(f"nodes on {provider}", lambda: self.nodes(provider))
        if not self.usable:
            if not self.failures:
                self.wrong("no provider ran")
            return
        for provider in self.usable:
            for model in self.plan.models:
                self.step(f"{model}, {provider} beside cpu", lambda: self.equality(model, provider))
        if self.plan.layout:
            for provider in (provider for provider in self.usable if provider.startswith("cuda")):
                for model, (trial, what) in itertools.product(self.plan.models, TRIALS.items()):
                    self.step(f"{model}, {what} on {provider}", lambda: self.trial(model, provider, trial))
        for blend in self.plan.blends:
            self.step(f"blend of {blend[0]}, {blend[3]}, {blend[2]} bits", lambda: self.blend(*blend))
        if any(provider.startswith("tensorrt") for provider in self.usable):
            self.left_out.append("speed on tensorrt: it builds an engine for each network and size, which takes minutes")
        # First what something is asked of, in case time is not enough for all.
        cells = self.cells()
        self.time(cell for cell in cells if self.bar(*cell[:2]))
        self.step(f"{self.plan.soak[1]} frames on {self.usable[0]}", self.soak)
        self.time(cell for cell in cells if not self.bar(*cell[:2]))

    def time(self, cells: Iterable[Tuple[str, int, str, str]]) -> None:
        for size, faces, model, provider in cells:
            self.step(f"{model} {size}, {faces} faces, {provider}", lambda: self.speed(model, size, faces, provider))

    def bar(self, size: str, faces: int) -> Optional[Bar]:
        return next((bar for bar in self.plan.bars if (bar.size, bar.faces) == (size, faces)), None)

    def cells(self) -> List[Tuple[str, int, str, str]]:
        """Size, faces, network and provider of what is timed."""
        providers = [provider for provider in self.usable if not provider.startswith("tensorrt")]
        every = itertools.product(self.plan.faces, self.plan.sizes, reversed(self.plan.models), reversed(providers))
        return [(size, faces, model, provider) for faces, size, model, provider in every]

    def nodes(self, provider: str) -> None:
        """Every node of the upscalers is on the provider."""
        wanted = provider.split(":")[0]
        names = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
        for model in self.plan.models:
            told = self.tool("nodes", model, provider)
            elsewhere = {name: count for name, count in told["nodes"].items() if name != names[wanted]}
            self.row(f"{model}: nodes", provider, f"{sum(told['nodes'].values())} on {told['describe']}")
            if elsewhere or not told["nodes"]:
                self.wrong(f"{model} on {provider}: nodes are elsewhere: {elsewhere or 'none at all'}")
        self.usable.append(provider)

    def equality(self, model: str, provider: str) -> None:
        told = self.tool("compare", model, self.plan.equality, 3, "cpu", provider)
        precision = (provider.split(":") + ["fp32"])[1]
        psnr = "same" if told["psnr"] is None else f"{told['psnr']:.1f} dB"
        self.row(f"{model} {self.plan.equality}: to cpu", provider, f"{psnr}, {told['largest']} levels at most")
        most = MOST_LEVELS[precision]
        if told["psnr"] is not None and told["psnr"] < LEAST_PSNR[precision] or most is not None and told["largest"] > most:
            self.wrong(f"{model} on {provider} is not the processor's picture: {psnr}, {told['largest']} levels")

    def blend(self, size: str, factor: int, bits: int, mode: str) -> None:
        """Kernels of ours make what the processor does; their time beside that of the runtime's operators."""
        what = f"blend of {size} x{factor}, {mode}, {bits} bits"
        try:
            told = self.tool("blend", size, factor, bits, mode)
        except CheckError as error:
            return self.wrong(f"{what}: {error}")
        levels, kernels, operators = (told[name] for name in ("worst", "kernels_ms", "operators_ms"))
        self.row(what, "cuda", f"{kernels:.2f} ms, {operators:.2f} by operators, {levels:g} levels to cpu")
        if levels > MOST_LEVELS["fp32"]:
            self.wrong(f"{what}: our kernels differ from the processor by up to {levels:g} levels")

    def judge(self, what: str, bar: Bar, told: dict) -> None:
        for name, found, is_kept in (
            (f"at least {bar.frames_per_second:g} frames/s", f"{1e3 / told['flowing_ms']:.1f}", told["flowing_ms"] <= 1e3 / bar.frames_per_second),
            (f"at least {LEAST_RATIO} of the bare session", f"{told['ratio']:.2f}", told["ratio"] >= LEAST_RATIO),
            (f"at most {MOST_STEADYING:.0%} of a frame alone for the blend and bringing it to the host", f"{told['stages_ms']['blend'] / told['ms']:.0%}",
             told["stages_ms"]["blend"] <= MOST_STEADYING * told["ms"]),
        ):
            self.bars.append(f"{what}: {name}: {found}, {'kept' if is_kept else 'MISSED'}")

    def trial(self, model: str, provider: str, trial: str) -> None:
        """Settings of CUDA that nothing uses yet, as nothing is known of what they bring."""
        size = self.plan.layout
        told = self.tool("compare", model, size, 10, provider, provider + trial)
        psnr = "same" if told["psnr"] is None else f"{told['psnr']:.1f} dB"
        without, with_it = told["ms"]
        self.row(f"{model} {size}: {TRIALS[trial]}", provider, f"{with_it:.2f} ms, {without:.2f} without, {told['ratio']:.2f} times as fast, {psnr}")

    def speed(self, model: str, size: str, faces: int, provider: str) -> None:
        words = ["element", model, size, self.plan.frames, provider, faces, "temporal-mode=balanced"]
        if faces:
            words.append(self.place.faces)
        with Gpu() as gpu:
            told = self.tool(*words)
        stages = ", ".join(f"{name} {value:.1f}" for name, value in sorted(told["stages_ms"].items()))
        cells = [f"{1e3 / told['flowing_ms']:.1f} frames/s", f"{told['ms']:.1f} ms", f"{1e3 / told['bare_ms']:.1f} frames/s"]
        cells += [f"{told['ratio']:.2f}", stages, gpu.told()]
        self.row(f"{model} {size}, {faces} faces", provider, *cells)
        bar = self.bar(size, faces)
        if bar:
            self.judge(f"{model} {size}, {faces} faces, {provider}", bar, told)
        if provider.startswith("cuda") and (told["large_picture"] != "device" or told["fallbacks"]):
            self.wrong(f"{model} {size} on {provider}: large pictures are on the {told['large_picture']}: {'; '.join(told['fallbacks']) or 'no reason given'}")
        if faces and not told["restored"]:
            self.wrong(f"{model} {size} on {provider}: none of {faces} faces was restored")

    def soak(self) -> None:
        size, frames = self.plan.soak
        provider = self.usable[0]
        with Gpu() as gpu:
            told = self.tool("element", self.plan.models[-1], size, frames, provider, 0, "temporal-mode=balanced")
        resident = told["resident_mib"]
        # What is loaded and reserved in the first frames is no growth.
        grown = resident[-1] - resident[max(len(resident) // 5, 1)]
        # The most of each part: the last readings may be of a process that is going.
        fifth = len(gpu.memory) // 5
        on_gpu = max(gpu.memory[-2 * fifth :]) - max(gpu.memory[fifth : 2 * fifth]) if fifth else None
        more = "unknown" if on_gpu is None else f"{on_gpu:+.0f} MiB"
        self.row(f"{told['frames']} frames of {size}", provider, f"process {grown:+.1f} MiB, GPU {more}")
        if grown > MOST_GROWTH or (on_gpu or 0) > MOST_GROWTH:
            self.wrong(f"memory grows: process {grown:+.1f} MiB, GPU {more} over {frames} frames")

    def table(self) -> str:
        head = ("what", "provider", "figure", "a frame alone", "bare session", "element / bare", "stages, ms a frame", "GPU load, memory")
        lines = ["", f"On {self.about}:", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        lines += [f"| {' | '.join(row + ('',) * (len(head) - len(row)))} |" for row in self.rows]
        for title, texts in (("Bars", self.bars), ("Wrong", self.failures), ("Not run", self.left_out)):
            if texts:
                lines += ["", f"{title}:", "", *(f"- {text}" for text in texts)]
        return "\n".join(lines)

#!/usr/bin/env python3
"""The OpenVINO provider beside ONNX Runtime's own kernels for the processor: time, and how far the pictures are apart.

    scripts/bars_openvino.py --cache FOLDER [--clip FILE] [--models NAME,...] [--precision bf16] [--rounds 7]

Bare sessions take frames of the clip in turn (examples/providers compare), then the whole element does on either
provider beside a bare session of its own. Both compute in fp32 unless --precision asks for bf16, which counts for OpenVINO
alone and is refused by processors that cannot. Exits with 1 where fp32 is less than 50 dB or more than a grey level from the
processor's own; with 2, and one line, where the provider does not run on this machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

ROOT = Path(__file__).resolve().parents[1]
TOOL = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples/providers"
# Frames of the clip that are gone through, and the size that they are reduced to where they are larger: networks
# take seconds a frame on two cores otherwise.
FRAMES, LONGEST = 8, 320
LEAST_PSNR, MOST_LEVELS = 50.0, 1
UNITS = ("avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def processor() -> str:
    """Its name, and which of the units that OpenVINO is fast on it has."""
    text = Path("/proc/cpuinfo").read_text()
    field = lambda name: next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(name)), "")
    has = [unit for unit in UNITS if unit in field("flags").split()]
    return f"{field('model name')}, {os.cpu_count()} threads, {', '.join(has) or 'none of ' + ', '.join(UNITS)}"


def runtime(cache: Path) -> Path:
    """That of `make test-providers` which has OpenVINO for this processor: its plugin is for those of Intel."""
    is_intel = "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    return cache / "providers" / ("runtime" if is_intel else "openvino") / "libonnxruntime.so"


def frames(clip: Path, to: Path) -> tuple:
    """Writes frames as the tool reads them; gives their size."""
    video = cv2.VideoCapture(str(clip))
    taken = []
    while len(taken) < FRAMES:
        there, frame = video.read()
        if not there:
            break
        height, width = frame.shape[:2]
        factor = min(1.0, LONGEST / max(height, width))
        frame = cv2.resize(frame, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
        taken.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    if not taken:
        sys.exit(f"bars_openvino: {clip} has no frames")
    to.write_bytes(b"".join(frame.tobytes() for frame in taken))
    return taken[0].shape[1], taken[0].shape[0]


def run(*words) -> dict:
    done = subprocess.run([TOOL, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        line = (done.stderr.strip().splitlines() or ["examples/providers failed"])[-1]
        print(f"bars_openvino: not run: {line}", flush=True)
        sys.exit(2)
    return json.loads(done.stdout)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--clip", type=Path)
    options.add_argument("--models", default="span-x2,animevideo-x2,facesr-live-x2")
    options.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    options.add_argument("--rounds", type=int, default=7)
    options = options.parse_args()
    os.environ.setdefault("FACESR_ONNXRUNTIME", str(runtime(options.cache)))
    clip = options.clip or options.cache / "media/carphone_pristine.mp4"
    other = f"openvino:{options.precision}"
    print(f"{processor()}\n{clip.name}, fp32 on cpu, {options.precision} on openvino")
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames"
        width, height = frames(clip, file)
        size = f"{width}x{height}"
        print(f"\n| network, {size} | cpu, ms | openvino, ms | cpu / openvino | PSNR between | levels | element: cpu, ms | openvino, ms |")
        print("|---|---|---|---|---|---|---|---|")
        for model in options.models.split(","):
            bare = run("compare", model, size, options.rounds, "cpu", other, file)
            whole = [run("element", model, size, options.rounds, provider, 0)["ms"] for provider in ("cpu", other)]
            psnr = "same" if bare["psnr"] is None else f"{bare['psnr']:.1f} dB"
            cells = [model, *(f"{time:.1f}" for time in bare["ms"]), f"{bare['ratio']:.2f}", psnr, bare["largest"]]
            print("|", " | ".join(str(cell) for cell in [*cells, *(f"{time:.1f}" for time in whole)]), "|", flush=True)
            near = (bare["psnr"] or LEAST_PSNR) >= LEAST_PSNR and bare["largest"] <= MOST_LEVELS
            if options.precision == "fp32" and not near:
                missed.append(model)
    if missed:
        sys.exit(f"bars_openvino: not the same picture: {', '.join(missed)}")


if __name__ == "__main__":
    main()

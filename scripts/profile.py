#!/usr/bin/env python3
"""Where the time of a frame goes, stage by stage, and how much of it a bare session of the same network would take.

    scripts/profile.py --cache CACHE [--rows NAME,...] [--properties NAME=VALUE,...] [--write] [--flamegraph FILE]

The clip of `make demo`, as it is enlarged there, and the same clip at three sizes, enlarged by two as from a file and as live
video: `auto` chooses the networks. Faces are restored and frames steadied, as by default. `examples/profile` makes the
frames. `--write` puts the table into docs/performance.md. `--flamegraph` records the rows by `perf`, where that is
installed, and writes their stacks, one a line with its samples, as tools for flame graphs read them.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOL = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples/profile"
PAGE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- profile: written by scripts/profile.py -->", "<!-- end of profile -->"

# Stages of `stats` in the order of a frame's way; what is in none of them is `other`.
STAGES = ("read", "motion", "upscale", "blend", "detect", "restore", "write", "other")
# Name, width and height (those of the clip where they are 0), kind, frames, frames from one run of the bare session to the
# next, properties. Whole intervals of finding faces, and two frames before that do
# not count; a minute or two for all rows on two idle cores.
ROWS = (
    ("demo, x4", 0, 0, "file", 12, 5, "scale=4"),
    ("320x180, file", 320, 180, "file", 12, 5, "scale=2"),
    ("640x360, file", 640, 360, "file", 7, 6, "scale=2"),
    ("1280x720, file", 1280, 720, "file", 7, 6, "scale=2"),
    ("320x180, live", 320, 180, "live", 22, 4, "scale=2"),
    ("640x360, live", 640, 360, "live", 17, 4, "scale=2"),
    ("1280x720, live", 1280, 720, "live", 12, 5, "scale=2"),
)
# Samples a second of `perf`: not a divisor of frame rates.
RATE = 197


class Trouble(Exception):
    """One line for the user."""


def read(line: str) -> dict:
    """What the tool says of a row, found to be whole."""
    try:
        told = json.loads(line)
    except ValueError:
        raise Trouble(f"examples/profile said no JSON: {line.strip()[:200]}") from None
    lacking = {"model", "frames", "frame", "stages", "beside", "bare"} - set(told)
    lacking |= set(STAGES) - set(told.get("stages", {}))
    unknown = set(told.get("stages", {})) - set(STAGES)
    if lacking or unknown:
        raise Trouble(f"examples/profile and this script differ by {', '.join(sorted(lacking | unknown))}: build both anew")
    return told


def table(rows: list) -> str:
    """Markdown of (name, what the tool says): milliseconds a frame and shares in percent."""
    head = ["stage", *(f"{name}: {told['model']}" for name, told in rows)]
    lines = []
    for stage in STAGES:
        lines.append([stage, *(cell(told["stages"][stage], told["frame"]) for _, told in rows)])
    lines.append(["**frame**", *(f"{told['frame']:.1f}" for _, told in rows)])
    lines.append(["motion beside", *(f"({told['beside']:.1f})" for _, told in rows)])
    lines.append(["bare session", *(cell(told["bare"], told["frame"]) for _, told in rows)])
    lines.append(["frames", *(f"{told['frames']}" for _, told in rows)])
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def cell(time: float, frame: float) -> str:
    return f"{time:.1f}, {100 * time / frame if frame else 0:.1f} %"


def machine() -> str:
    """The processor and its cores, without a name of the machine."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    cores = len(os.sched_getaffinity(0))
    return f"{found[1].strip() if found else platform.machine()}, {cores} cores"


def renewed(page: str, text: str) -> str:
    """The page with this between its marks."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise Trouble(f"{PAGE.name} lacks its marks: {BEGIN} and {END}")
    return page.split(BEGIN)[0] + f"{BEGIN}\n\n{text}\n\n{END}" + page.split(END)[1]


def clip(source: Path, width: int, height: int, frames: int, folder: Path) -> tuple:
    """Width, height and a file of the first frames in I420."""
    size = f",width={width},height={height},pixel-aspect-ratio=1/1" if width else ""
    target = folder / f"{width}x{height}x{frames}"
    line = (
        f"filesrc location={source} ! decodebin ! videoconvert ! videoscale method=lanczos"
        f" ! video/x-raw,format=I420{size} ! identity eos-after={frames + 1} ! filesink location={target}"
    )
    done = subprocess.run(["gst-launch-1.0", "-v", *line.split()], capture_output=True, text=True)
    if done.returncode or not target.is_file():
        raise Trouble(f"{source} cannot be read: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")
    found = re.search(r"width=\(int\)(\d+), height=\(int\)(\d+)", done.stdout)
    if not found:
        raise Trouble(f"gst-launch-1.0 says no size for {source}")
    if not width:
        width, height = int(found[1]), int(found[2])
    # A few frames more are under way when the end comes. Chroma has half of the sides, rows are whole words.
    words = lambda length: -(-length // 4) * 4
    down = -(-height // 2)
    os.truncate(target, frames * (words(width) * 2 * down + 2 * words(-(-width // 2)) * down))
    return width, height, target


def collapse(text: str) -> Counter:
    """Samples by stack, the outermost function first, of what `perf script` prints."""
    stacks, comm, stack = Counter(), None, []
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if comm:
                stacks[";".join([comm, *reversed(stack)])] += 1
            comm, stack = None, []
        elif line[0].isspace():
            # Address, name with its offset where that is known, file in parentheses.
            name = re.match(r"\s+[0-9a-f]+ (?:(.*)\+0x[0-9a-f]+|(.*?)) \(", line)
            stack.append((name[1] or name[2] if name else line.strip()).replace(";", ":"))
        else:
            comm = re.match(r"(.+?)\s+\d+(?:/\d+)?\s", line + " ")[1].strip()
    return stacks


def record(command: list, data: Path) -> list:
    """The command under `perf`, or one line why that cannot be."""
    if not shutil.which("perf"):
        raise Trouble("a flame graph needs perf: install the package linux-perf")
    probe = subprocess.run(["perf", "record", "-o", os.devnull, "true"], capture_output=True, text=True)
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Trouble(f"perf cannot record here ({reason}): see kernel.perf_event_paranoid")
    return ["perf", "record", "-q", "-F", str(RATE), "--call-graph", "dwarf,8192", "-o", str(data), *command]


def profile(options, folder: Path) -> list:
    """Rows and what the tool says of each."""
    source = options.cache / "media/carphone_pristine.mp4"
    rows = [row for row in ROWS if not options.rows or row[0] in options.rows.split(";")]
    if not rows:
        raise Trouble(f"no such row: one of {'; '.join(row[0] for row in ROWS)}")
    lines = []
    for _, width, height, kind, frames, every, properties in rows:
        width, height, path = clip(source, width, height, frames, folder)
        properties = ",".join(filter(None, [properties, options.properties]))
        lines.append(f"{width} {height} {kind} {every} {properties} {path}")
    data = folder / "perf.data"
    command = [str(TOOL)] if not options.flamegraph else record([str(TOOL)], data)
    try:
        done = subprocess.run(command, input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise Trouble(f"there is no {TOOL}: run `make profile`") from None
    if done.returncode:
        raise Trouble("examples/profile failed; see above")
    if options.flamegraph:
        script = subprocess.run(["perf", "script", "-i", str(data)], capture_output=True, text=True)
        stacks = collapse(script.stdout)
        options.flamegraph.write_text("".join(f"{stack} {count}\n" for stack, count in sorted(stacks.items())))
        print(f"{options.flamegraph}: {sum(stacks.values())} samples in {len(stacks)} stacks", file=sys.stderr)
    return [(row[0], read(line)) for row, line in zip(rows, done.stdout.splitlines())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="where `make setup` put the clip")
    parser.add_argument("--rows", help=f"some of `{'; '.join(row[0] for row in ROWS)}`, between semicolons")
    parser.add_argument("--properties", default="", help="more properties of the element: NAME=VALUE,NAME=VALUE")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--flamegraph", type=Path, help="where the stacks go that `perf` records")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = profile(options, Path(folder))
        text = f"{datetime.date.today()}, {machine()}; milliseconds a frame, share of the frame:\n\n{table(rows)}"
        print(text)
        if options.write:
            if len(rows) < len(ROWS) or options.properties or options.flamegraph:
                raise Trouble("only all rows as they are, not under perf, are written into the page")
            PAGE.write_text(renewed(PAGE.read_text(), text))
    except (Trouble, OSError) as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""What a machine with an NVIDIA GPU shows of facesr: providers proven, pictures equal, speed, memory. Ends with a table.

    ci/gpu_check.sh                        with what `make demo PROVIDER=cuda` leaves, and examples/providers built
    ci/gpu_check.sh --from FOLDER          with what --prepare put there: no network, no compiler, no GStreamer needed
    ci/gpu_check.sh --prepare FOLDER       on a machine with all of that; --architecture 90 keeps the code for one GPU, and
                                           --cuobjdump PROGRAM (of NVIDIA's) leaves out what language models need
    ci/gpu_check.sh --dry-run              every step on the processor, at tiny sizes: the script itself is tried

Needs python3 alone. What could not run is said with the reason. Exits with 1 where something that ran is wrong, with 2
where nothing could be tried, else with 0.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gpu_check_prepare import CheckError, Place, prepare
from gpu_check_steps import Bar, Check, Plan, machine

# Seconds for everything; steps that would begin later are not run.
TIME = 540

FULL = Plan(
    providers=("cuda", "cuda:fp16", "tensorrt:fp16"),
    models=("animevideo-x2", "span-x2"),
    sizes=("1280x720", "1920x1080", "960x540"),
    faces=(2, 0, 8),
    equality="160x120",
    blends=(("33x17", 3, 16, "balanced"), ("1280x720", 2, 8, "balanced"), ("1280x720", 2, 8, "quality"), ("1920x1080", 2, 8, "balanced")),
    layout="1280x720",
    frames=40,
    soak=("320x180", 5000),
    # What is asked of a card for servers.
    bars=(Bar("1280x720", 2, 100), Bar("1920x1080", 2, 50)),
)
DRY = Plan(
    providers=("cpu", "cpu:fp16"),
    # Faces have to be large enough to be found.
    models=("facesr-live-x2", "span-x2"),
    sizes=("320x200",),
    faces=(0, 2),
    equality="40x32",
    # They are for GPUs.
    blends=(),
    layout=None,
    frames=3,
    soak=("32x24", 100),
    bars=(),
)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--from", dest="folder", type=Path, metavar="FOLDER", help="a folder that --prepare made")
    options.add_argument("--prepare", type=Path, metavar="FOLDER", help="put everything there, and do nothing else")
    options.add_argument("--architecture", type=int, metavar="NUMBER", help="with --prepare: 90 is Hopper, 89 Ada, 86 and 80 Ampere")
    options.add_argument("--cuobjdump", type=Path, metavar="PROGRAM", help="with --architecture: leaves out kernels of language models")
    options.add_argument("--dry-run", action="store_true", help="on the processor, at tiny sizes")
    options.add_argument("--seconds", type=int, default=TIME, help="time for everything")
    options = options.parse_args()
    deadline = time.monotonic() + options.seconds
    try:
        trial = options.dry_run or options.prepare
        about = "the processor, as a trial of this script" if trial else machine()
        place = Place.prepared(options.folder) if options.folder else Place.tree(options.dry_run, options.prepare is not None)
        if options.prepare:
            prepare(place, options.prepare, options.architecture, options.cuobjdump)
            return 0
        check = Check(place, DRY if options.dry_run else FULL, deadline, about)
        check.run()
        print(check.table())
        return 1 if check.failures else 0
    except CheckError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Builds the stand-in for NVIDIA's libraries, and runs programs with it; see README.md.

    python3 tests/cuda_stand_in/stand_in.py [--cache DIR] COMMAND...

The runtime is the one that `make test-providers` fetches. FACESR_STAND_IN_* say what device there is.
"""

import argparse
import mmap
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Set

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "models"))

import fetch

PROVIDER = "libonnxruntime_providers_cuda.so"
RUNTIME = "libonnxruntime.so"
# Of the cache of providers: where fetch.py puts the runtime.
FOLDER = "cuda-runtime"

FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-fPIC", "-pthread", "-Wall", "-Wextra"]


class StandInError(Exception):
    """Why there is no stand-in, in one line."""


class Library(NamedTuple):
    """A library of the stand-in: its sources, what it links to, and how functions answer that have none."""

    name: str
    sources: tuple
    # What its functions are called. One that is longer wins.
    prefixes: tuple
    # The first is what a generic function answers, the second with what it fails when asked to.
    answers: tuple = (0, 1)
    links: tuple = ("libcudart.so.13",)
    flags: tuple = ()
    # Whether the provider asks for symbols of a version, which is the library's name.
    has_version: bool = False


# What CUDA itself says of what is not there.
NOT_SUPPORTED = 801

# Each after those that it links to.
LIBRARIES = (
    Library(
        "libcudart.so.13", ("settings.c", "trace.c", "memory.c", "copies.c", "clocks.c", "device.c", "kernels.c"),
        ("cuda", "__cuda"), (NOT_SUPPORTED, NOT_SUPPORTED), links=(), has_version=True,
    ),
    # It runs our own kernels, which round as they do on a device.
    Library("libcuda.so.1", ("driver.c",), ("cu",), (NOT_SUPPORTED, NOT_SUPPORTED), flags=("-O2", "-ffp-contract=off")),
    Library("libcublas.so.13", ("cublas.c",), ("cublas",), (0, 13), has_version=True),
    Library("libcublasLt.so.13", ("cublas.c",), ("cublasLt",), (0, 13), flags=("-DSTAND_IN_LT",), has_version=True),
    Library("libcurand.so.10", (), ("curand",), (0, 999)),
    # The provider loads it by itself when it starts, and its functions by their names.
    Library("libcudnn.so.9", ("cudnn.c",), ("cudnn",), (0, 5000)),
    # Nobody links to it; our own code asks it for the memory of GPUs.
    Library("libnvidia-ml.so.1", ("nvml.c", "settings.c"), ("nvml",), links=()),
)


def owner(function: str) -> str:
    """The library that a function belongs to, by its name."""
    fitting = [(prefix, library.name) for library in LIBRARIES for prefix in library.prefixes if function.startswith(prefix)]
    return max(fitting, key=lambda pair: len(pair[0]))[1]


def run(*command) -> str:
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    except FileNotFoundError:
        raise StandInError(f"there is no {command[0]}: install a compiler for C and binutils") from None
    if done.returncode:
        raise StandInError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    # Warnings are for whoever changes these sources.
    sys.stderr.write(done.stderr)
    return done.stdout


def needed(provider: Path) -> Dict[str, Set[str]]:
    """The functions that the provider takes from each library: those that its file leaves undefined, and those of cuDNN,
    whose names it holds as texts. Read from the file, so that a newer runtime is answered without a list to keep."""
    functions: Dict[str, Set[str]] = {library.name: set() for library in LIBRARIES}
    for line in run("nm", "-D", "--undefined-only", provider).splitlines():
        name = line.split()[-1].split("@")[0]
        if re.match(r"(__)?cu(da|blas|rand|[A-Z])", name):
            functions[owner(name)].add(name)
    with provider.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for name in re.findall(rb"(?<=\0)cudnn[A-Z]\w+(?=\0)", data):
            functions["libcudnn.so.9"].add(name.decode())
    return functions


def check_libraries(provider: Path) -> None:
    """Refuses a provider for another CUDA, whose structures may be others."""
    asked = re.findall(r"\(NEEDED\).*\[(lib(?:cu|nv)[^\]]*)\]", run("readelf", "--dynamic", "--wide", provider))
    unknown = set(asked) - {library.name for library in LIBRARIES}
    if unknown:
        raise StandInError(f"{provider} needs {', '.join(sorted(unknown))}, and nothing stands in for that")


def build(provider: Path, folder: Path) -> None:
    """Makes the libraries that `provider` needs, in `folder`."""
    check_libraries(provider)
    functions = needed(provider)
    with tempfile.TemporaryDirectory() as work:
        for library in LIBRARIES:
            make(library, functions[library.name], Path(work), folder)


def make(library: Library, functions: Set[str], work: Path, folder: Path) -> None:
    objects: List[Path] = []
    for source in library.sources:
        objects.append(work / f"{library.name}-{source}.o")
        run("cc", *FLAGS, *library.flags, "-c", HERE / source, "-o", objects[-1])
    written = set(re.findall(r" T (\w+)$", run("nm", "--defined-only", *objects), re.M)) if objects else set()
    lines = [f"GENERIC({name}, {library.answers[0]}, {library.answers[1]})" for name in sorted(functions - written)]
    generic = work / f"{library.name}-generic.c"
    generic.write_text("\n".join(['#include "generic.h"', *lines, ""]))
    linking = [f"-Wl,-soname,{library.name}", *(folder / name for name in library.links)]
    if library.has_version:
        versions = work / f"{library.name}.map"
        versions.write_text(f"{library.name} {{ global: *; }};\n")
        linking.append(f"-Wl,--version-script={versions}")
    run("cc", *FLAGS, "-I", HERE, "-shared", "-o", folder / library.name, *objects, generic, *linking, "-lm")


def environment(folder: Path, runtime: Path) -> Dict[str, str]:
    """What programs need to find the libraries in `folder` and this runtime."""
    paths = [str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(paths), "FACESR_ONNXRUNTIME": str(runtime)}


class Line(NamedTuple):
    """A line of the log."""

    microseconds: int
    what: str
    number: int
    name: str


def read_log(path: Path) -> List[Line]:
    lines = []
    for text in path.read_text().splitlines():
        time, what, number, *name = text.split(" ", 3)
        lines.append(Line(int(time), what, int(number), "".join(name)))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a program with the stand-in for NVIDIA's libraries.")
    parser.add_argument("--cache", type=Path, default=fetch.cache_folder(), metavar="DIR", help="where the runtime was fetched to, if not "
                        "into the cache of `make test-providers`")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    runtime = options.cache / "providers" / FOLDER
    if not (runtime / PROVIDER).is_file():
        print(f"there is no {PROVIDER} in {runtime}: run `make test-providers`", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        try:
            build(runtime / PROVIDER, Path(folder))
        except StandInError as error:
            print(error, file=sys.stderr)
            return 1
        return subprocess.run(options.command, env=environment(Path(folder), runtime / RUNTIME)).returncode


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Leaves the machine code for one GPU architecture in a library of CUDA, so that it compresses to a fifth.

    ci/slim_cuda.py libonnxruntime_providers_cuda.so SLIM.so 90 [CUOBJDUMP]        (90 Hopper, 89 Ada, 86 and 80 Ampere)

Code for other architectures, and the portable code (PTX), becomes zeros in the section `.nv_fatbin`. Nothing moves, so the file
loads as before and is as large; `xz` folds the zeros. It runs on GPUs of that architecture alone. With NVIDIA's program cuobjdump, which knows the names of
what is in it, code that language models alone have kernels for (nine tenths of all) becomes zeros as well.
"""

import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, Set, Tuple

# A container of code: this number, a version, the length of its header (16 bits each but the first), and the length of
# what follows (64 bits).
CONTAINER = struct.Struct("<IHHQ")
CONTAINER_BEGINS = 0xBA55ED50
# What containers are aligned to, in bytes.
STEP = 8
# An entry of a container: kind and version (16 bits), length of its header (32) and of its code (64); the architecture
# stands further on in its header.
ENTRY = struct.Struct("<HHIQ")
ARCHITECTURE_AT = 28
MACHINE_CODE = 2
# Names in kernels of attention, and of products that experts and weights of 4 bits take. CUDA loads code when it is first used.
OF_LANGUAGE = re.compile(rb"flash_fwd|fmha|attention_kernel|[Mm]oe|fpA_intB")


class SlimError(Exception):
    """One line for the user."""


class Entry(NamedTuple):
    kind: int
    architecture: int
    start: int
    end: int


def section(data: bytes, wanted: bytes) -> Tuple[int, int]:
    """First and last byte of a section of a 64-bit ELF file."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise SlimError("it is no 64-bit library")
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names_at = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, table + number * size) for number in range(count)]
    names = headers[names_at][4]
    for name, _, _, _, offset, length in headers:
        begin = names + name
        if data[begin : begin + len(wanted) + 1] == wanted + b"\0":
            return offset, offset + length
    raise SlimError(f"it has no section {wanted.decode()}: it holds no code for GPUs")


def entries(data: bytes, start: int, end: int) -> Iterator[Entry]:
    while start + CONTAINER.size <= end:
        begins, _, header, length = CONTAINER.unpack_from(data, start)
        if begins != CONTAINER_BEGINS:
            start += STEP
            continue
        at, stop = start + header, start + header + length
        while at + ENTRY.size <= stop:
            kind, _, entry_header, code = ENTRY.unpack_from(data, at)
            (architecture,) = struct.unpack_from("<I", data, at + ARCHITECTURE_AT)
            if entry_header < ENTRY.size or at + entry_header + code > end:
                raise SlimError("its code is laid out in a way that is not known here")
            yield Entry(kind, architecture, at + entry_header, at + entry_header + code)
            at += entry_header + code
        start = stop


def of_language(library: Path, cuobjdump: Path) -> Set[int]:
    """Which of the library's pieces of machine code, counted from 1, are for language models."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run([cuobjdump.resolve(), "-xelf", "all", library.resolve()], cwd=folder, capture_output=True, text=True)
        except OSError as error:
            raise SlimError(f"{cuobjdump}: {error.strerror}") from None
        if done.returncode:
            raise SlimError(f"{cuobjdump}: {(done.stderr.strip().splitlines() or ['it gives no reason'])[0]}")
        pieces = {path: re.search(r"\.(\d+)\.sm_\w+\.cubin$", path.name) for path in Path(folder).iterdir()}
        return {int(number[1]) for path, number in pieces.items() if number and OF_LANGUAGE.search(path.read_bytes())}


def slim(library: Path, to: Path, architecture: int, cuobjdump: Optional[Path] = None) -> str:
    """Writes the slim library; says what was done."""
    data = bytearray(library.read_bytes())
    left_out = of_language(library, cuobjdump) if cuobjdump else set()
    kept = dropped = number = 0
    for entry in entries(data, *section(data, b".nv_fatbin")):
        length = entry.end - entry.start
        number += entry.kind == MACHINE_CODE
        if entry.kind == MACHINE_CODE and entry.architecture == architecture and number not in left_out:
            kept += length
            continue
        data[entry.start : entry.end] = bytes(length)
        dropped += length
    if not kept:
        raise SlimError(f"{library.name} holds no code for architecture {architecture}")
    to.write_bytes(data)
    return f"{library.name}: {kept / 1e6:.1f} MB of code for architecture {architecture} kept, {dropped / 1e6:.1f} MB zeroed"


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    try:
        print(slim(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *map(Path, sys.argv[4:])))
    except (SlimError, OSError, ValueError) as error:
        sys.exit(f"slim_cuda: {error}")

#!/usr/bin/env python3
"""Makes src/infer/resident/blend.ptx of blend.cu, with NVIDIA's run-time compiler of the version that models/packages.json pins.

    scripts/kernels.py COMPILER ASSEMBLER [OUTPUT]

COMPILER is the folder of NVRTC, ASSEMBLER that of ptxas (`make kernels` fetches both). It needs no GPU. What it makes is for every GPU since 2016
(compute capability 6.0) and every driver since 530: the driver makes its own code of it. What becomes of it there is told at the end,
by the assembler that such a driver has inside.
"""

import ctypes
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, NamedTuple

SOURCE = Path(__file__).resolve().parents[1] / "src/infer/resident/blend.cu"
# Products are not fused with sums, so that the bits are those of the processor.
OPTIONS = (b"--gpu-architecture=compute_60", b"--fmad=false")
# All that ONNX Runtime for CUDA 13 has code for: Turing, Ampere for servers and for desktops, Ada, Hopper, Blackwell for both.
GPUS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


class CompileError(Exception):
    """One line for the user, and what the compiler says."""


def load(folder: Path) -> ctypes.CDLL:
    # The compiler looks for this one by its bare name.
    for name in sorted(folder.glob("libnvrtc-builtins.so.*")) + sorted(folder.glob("libnvrtc.so.*")):
        try:
            library = ctypes.CDLL(str(name), ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise CompileError(f"NVIDIA's compiler cannot be loaded: {error}") from None
        if name.name.startswith("libnvrtc.so."):
            return library
    raise CompileError(f"there is no libnvrtc.so in {folder}: run `make kernels`")


def compiled(folder: Path, source: bytes) -> str:
    """The code of a source, as PTX."""
    library = load(folder)
    program, size = ctypes.c_void_p(), ctypes.c_size_t()

    def checked(status: int) -> None:
        if status:
            raise CompileError(f"blend.cu: a call of the compiler ended with {status}")

    def text(length_of, get) -> bytes:
        checked(length_of(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        checked(get(program, buffer))
        return buffer.value

    checked(library.nvrtcCreateProgram(ctypes.byref(program), source, b"blend.cu", 0, None, None))
    try:
        options = (ctypes.c_char_p * len(OPTIONS))(*OPTIONS)
        status = library.nvrtcCompileProgram(program, len(OPTIONS), options)
        said = text(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog).decode().strip()
        if status or said:
            raise CompileError(f"blend.cu: {said or f'the compiler ended with {status}'}")
        return text(library.nvrtcGetPTXSize, library.nvrtcGetPTX).decode()
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


class Usage(NamedTuple):
    """What a thread of a kernel takes."""

    registers: int
    # Bytes of memory, which is a hundred times as slow.
    stack: int


def assembled(folder: Path, code: str, gpu: str) -> Dict[str, Usage]:
    """What a GPU runs for some PTX, by kernel."""
    program = folder / "ptxas"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(code)
        file.flush()
        try:
            # What is fetched is a file without the right to be run.
            program.chmod(0o755)
            done = subprocess.run([program, "-v", f"-arch={gpu}", file.name, "-o", "/dev/null"], capture_output=True, text=True)
        except OSError as error:
            raise CompileError(f"NVIDIA's assembler cannot be run ({error.strerror}): run `make kernels`") from None
    if done.returncode:
        raise CompileError(f"blend.ptx on {gpu}: {(done.stderr.strip() or 'the assembler gives no reason').replace(file.name, 'blend.ptx')}")
    pattern = r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores.*?Used (\d+) registers"
    found = re.findall(pattern, done.stderr, re.S)
    return {name: Usage(int(registers), int(stack) + int(spilled)) for name, stack, spilled, registers in found}


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    compiler, assembler = map(Path, sys.argv[1:3])
    output = Path(sys.argv[3]) if len(sys.argv) == 4 else SOURCE.with_suffix(".ptx")
    try:
        code = compiled(compiler, SOURCE.read_bytes())
        output.write_text(code)
        for gpu in GPUS:
            used = ", ".join(f"{name} {usage.registers}" + (f" and {usage.stack} bytes" if usage.stack else "") for name, usage in assembled(assembler, code, gpu).items())
            print(f"kernels: registers a thread on {gpu}: {used}")
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

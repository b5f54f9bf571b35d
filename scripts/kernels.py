#!/usr/bin/env python3
"""Makes src/infer/resident/blend.ptx of blend.cu, with NVIDIA's run-time compiler of the version that models/packages.json pins.

    scripts/kernels.py FOLDER [OUTPUT]

FOLDER holds the compiler (`make kernels` fetches it). It needs no GPU. What it makes is for every GPU since 2016 (compute capability 6.0) and
every driver since 530: the driver makes its own code of it.
"""

import ctypes
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src/infer/resident/blend.cu"
# Products are not fused with sums, so that the bits are those of the processor.
OPTIONS = (b"--gpu-architecture=compute_60", b"--fmad=false")


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


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    output = Path(sys.argv[2]) if len(sys.argv) == 3 else SOURCE.with_suffix(".ptx")
    try:
        output.write_text(compiled(Path(sys.argv[1]), SOURCE.read_bytes()))
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

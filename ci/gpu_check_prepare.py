"""Where gpu_check finds what it runs, and a folder of all that for a machine without a network.

The folder holds `providers` (examples/providers), `libraries` (what that is linked to besides the C library, the runtime and
NVIDIA's libraries), `gstreamer` (plugins for the pipeline), `models` and `faces` (frames of the fetched clip).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from slim_cuda import SlimError, slim

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = ("animevideo-x2", "span-x2", "facesr-live-x2", "facesr-face-256", "yunet")
# Plugins of GStreamer that a pipeline around the element needs, which itself is in the program.
PLUGINS = ("libgstcoreelements.so", "libgstapp.so")
# Bytes of a frame of the fetched clip, which is 176x144, and how many frames are taken along; they are shown again and again.
FRAME, FACES = 176 * 144 * 3, 40
# They belong to the C library of the machine, and another machine's would not fit.
OF_THE_MACHINE = re.compile(r"^(linux-vdso|ld-linux|lib(c|m|dl|rt|pthread|resolv)\.so)")
# libnvblas stands in for a BLAS of others.
NOT_NEEDED = re.compile(r"^libnvblas")


class CheckError(Exception):
    """One line for the user."""


class Place(NamedTuple):
    """Where things are."""

    tool: Path
    runtime: Path
    models: Path
    faces: Path
    libraries: Optional[Path] = None
    plugins: Optional[Path] = None

    @classmethod
    def prepared(cls, folder: Path) -> "Place":
        folder = folder.resolve()
        libraries = folder / "libraries"
        place = cls(folder / "providers", libraries / "libonnxruntime.so", folder / "models", folder / "faces", libraries, folder / "gstreamer")
        return place.checked(f"is not in {folder}: make it by `ci/gpu_check.sh --prepare`")

    @classmethod
    def tree(cls, dry_run: bool, for_another: bool = False) -> "Place":
        """Out of the source tree and the cache of make; for another machine, also the runtime without NVIDIA's libraries."""
        xdg = os.environ.get("XDG_CACHE_HOME")
        own = os.environ.get("FACESR_CACHE_DIR")
        cache = Path(own) if own else (Path(xdg) if xdg else Path.home() / ".cache") / "facesr"
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
        folders = ["runtime"] if dry_run else ["cuda/onnxruntime/capi"] + ["providers/cuda-runtime"] * for_another
        runtimes = [cache / folder / "libonnxruntime.so" for folder in folders]
        runtime = next((path for path in runtimes if path.exists()), runtimes[-1])
        place = cls(target / "examples/providers", runtime, cache / "models", cache / "faces-of-carphone")
        if not place.faces.is_file():
            decode(cache / "media/carphone_pristine.mp4", place.faces)
        fetching = "" if dry_run else "`make test-providers`, " if for_another else "`make cuda`, "
        return place.checked(f"is missing: run `make setup`, {fetching}`cargo build --release --example providers`")

    def checked(self, otherwise: str) -> "Place":
        for path in (self.tool, self.runtime, self.models, self.faces):
            if not path.exists():
                raise CheckError(f"{path} {otherwise}")
        return self

    def environment(self) -> Dict[str, str]:
        told = {"FACESR_ONNXRUNTIME": str(self.runtime), "FACESR_MODEL_PATH": str(self.models)}
        # PyTorch and others bring NVIDIA's libraries with them.
        folders = [str(self.libraries)] if self.libraries else []
        folders += [str(path) for path in nvidia_folders()] if self.libraries else []
        folders += [path for path in [os.environ.get("LD_LIBRARY_PATH")] if path]
        if folders:
            told["LD_LIBRARY_PATH"] = ":".join(folders)
        if self.plugins:
            told.update(GST_PLUGIN_PATH="", GST_PLUGIN_SYSTEM_PATH=str(self.plugins), GST_REGISTRY=f"{self.plugins}/registry.bin")
            # There is no such program in the folder, and plugins are few.
            told["GST_REGISTRY_FORK"] = "no"
        return told


def nvidia_folders() -> List[Path]:
    """Folders of NVIDIA's libraries in the packages of this Python and whatever else is there."""
    packages = [Path(path) for path in sys.path if path]
    for base in (Path("/usr/lib"), Path("/usr/local/lib"), Path("/opt"), Path.home() / ".local/lib"):
        for depth in ("python3*/*-packages", "*/lib/python3*/site-packages", "*/*/lib/python3*/site-packages"):
            packages += sorted(base.glob(depth))
    found = [folder for path in packages for pattern in ("nvidia/*/lib", "tensorrt_libs") for folder in sorted(path.glob(pattern))]
    return list(dict.fromkeys(found))


def decode(clip: Path, to: Path) -> None:
    """Frames of a clip as examples/providers reads them, three bytes a pixel."""
    if not clip.is_file():
        raise CheckError(f"{clip} is missing: run `make setup`")
    unfinished = to.with_suffix(".unfinished")
    command = f'gst-launch-1.0 -q filesrc location={clip} ! decodebin ! videoconvert ! video/x-raw,format=RGB ! filesink location={unfinished}'
    try:
        done = subprocess.run(command.split(), capture_output=True, text=True)
    except FileNotFoundError:
        raise CheckError("there is no gst-launch-1.0 to decode the clip: run `make system`") from None
    if done.returncode:
        raise CheckError(f"{clip} cannot be decoded: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")
    unfinished.rename(to)


def linked(program: Path) -> List[Path]:
    """The libraries that a program or a library is linked to, all the way down."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return [Path(path) for path in re.findall(r"=> (/\S+)", listing) if not OF_THE_MACHINE.match(Path(path).name)]


def prepare(place: Place, to: Path, architecture: Optional[int], cuobjdump: Optional[Path]) -> None:
    """Puts everything into a folder, anew."""
    if to.exists() and any(to.iterdir()) and not (to / "providers").is_file():
        raise CheckError(f"{to} holds something else: name a new folder")
    shutil.rmtree(to, ignore_errors=True)
    for folder in ("libraries", "gstreamer", "models"):
        (to / folder).mkdir(parents=True)
    shutil.copy(place.tool, to / "providers")
    with open(place.faces, "rb") as frames:
        (to / "faces").write_bytes(frames.read(FACES * FRAME))
    for name in NETWORKS:
        for file in (f"{name}.onnx", f"{name}.onnx.modelinfo"):
            shutil.copy(place.models / file, to / "models")
    folder = subprocess.run(["pkg-config", "--variable=pluginsdir", "gstreamer-1.0"], capture_output=True, text=True).stdout.strip()
    plugins = [Path(folder) / name for name in PLUGINS]
    for plugin in plugins:
        shutil.copy(plugin, to / "gstreamer")
    libraries = {path.name: path for program in (place.tool, place.runtime, *plugins) for path in linked(program)}
    runtime = place.runtime.resolve()
    libraries["libonnxruntime.so"] = runtime
    for path in runtime.parent.glob("libonnxruntime_providers_*.so"):
        libraries[path.name] = path
    for path in runtime.parents[2].glob("nvidia/*/lib/lib*.so*"):
        if not NOT_NEEDED.match(path.name):
            libraries[path.name] = path
    for name, path in libraries.items():
        shutil.copy(path, to / "libraries" / name)
    cuda = to / "libraries/libonnxruntime_providers_cuda.so"
    if architecture and cuda.is_file():
        try:
            print(f"gpu_check: {slim(cuda, cuda, architecture, cuobjdump)}")
        except SlimError as error:
            raise CheckError(str(error)) from None
    if not any(to.glob("libraries/libcudnn.so.*")):
        print("gpu_check: NVIDIA's libraries (cuDNN, cuBLAS, cuRAND for CUDA 13) are not in it and have to be there: in packages of Python, or named by LD_LIBRARY_PATH")
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    print(f"gpu_check: {to} holds {size / 1e6:.0f} MB; there: ci/gpu_check.sh --from {to.name}")

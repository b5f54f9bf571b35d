"""packaging/: what the entrypoint starts and refuses, what the image gets, and what systemd reads. Needs no container."""

import configparser
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
ENTRYPOINT = PACKAGING / "facesr-entrypoint"
PLUGIN_DIR = Path(os.environ.get("FACESR_PLUGIN_DIR", ""))
sys.path.insert(0, str(Path(__file__).parent))

import test_docs

# Programs that the entrypoint uses, and no others: the image has these.
TOOLS = ("grep", "sed")
# What the fake programs do. `DOCTOR` is what `facesr doctor` prints here.
PRINT_WORDS = 'printf "%s\\0" "${0##*/}" "$@"\n'
FAKES = {
    "facesr": 'if [ "${DOCTOR+is}" ] && [ "$1" = doctor ]; then printf "%s\\n" "$DOCTOR"; exit; fi\n' + PRINT_WORDS,
    "gst-launch-1.0": PRINT_WORDS,
    "ldconfig": 'printf "%s" "${LOADER:-}"\n',
}
RUNTIME = "libonnxruntime.so.1"
DRIVER = "libcuda.so.1"
# Names of providers, as the program has them; `auto` asks for none of them.
PROVIDERS = re.findall(r'Self::\w+ => "([a-z]+)"', (ROOT / "src/infer/provider.rs").read_text())
ON_GPUS = ("cuda", "tensorrt")


def shout(text: str) -> str:
    """Says on the terminal, unmissably, that something was not tested. Without the packages that support.py needs."""
    line = "!" * 78
    print(f"\n{line}\n!! NOT TESTED: {text}\n{line}", file=sys.stderr, flush=True)
    return text


def plugin_dir(case: unittest.TestCase) -> Path:
    """Where `make build` leaves the plugin; the program lies one folder above."""
    if not (PLUGIN_DIR / "libgstfacesr.so").is_file():
        case.fail("FACESR_PLUGIN_DIR must name the folder of libgstfacesr.so: run `make test-python`")
    return PLUGIN_DIR


def fake_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


class Machine(unittest.TestCase):
    """A folder that stands for /, with a runtime and a network where the image has them."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.root, self.bin = self.folder / "root", self.folder / "bin"
        self.runtime = self.root / "usr/local/lib" / RUNTIME
        self.network = self.root / "usr/share/facesr/models/span-x2.onnx"
        touch(self.runtime, self.network)
        for name, text in FAKES.items():
            fake_program(self.bin / name, text)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))

    def environment(self, **variables) -> dict:
        home = self.folder / "home"
        return {"PATH": str(self.bin), "HOME": str(home), "FACESR_ROOT": str(self.root)} | {
            name: str(value) for name, value in variables.items()
        }

    def start(self, *words: str, **variables) -> subprocess.CompletedProcess:
        command = [ENTRYPOINT, *words]
        return subprocess.run(command, env=self.environment(**variables), capture_output=True, text=True, timeout=60)

    def starts(self, **variables) -> None:
        done = self.start("gst-launch-1.0", "x", **variables)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "gst-launch-1.0\0x\0", ""), variables)

    def refuses(self, code: int, *said: str, **variables) -> str:
        """Nothing is started, and one line says these things."""
        done = self.start("gst-launch-1.0", "x", **variables)
        self.assertEqual((done.returncode, done.stdout), (code, ""), (done.stderr, variables))
        self.assertRegex(done.stderr, r"\Afacesr: [^\n]+\n\Z")
        for text in said:
            self.assertIn(text, done.stderr)
        return done.stderr

    def give_gpu(self) -> None:
        touch(self.root / "dev/nvidiactl", self.root / "usr/lib/x86_64-linux-gnu" / DRIVER)


class Starting(Machine):
    def test_a_command_gets_its_words_as_they_are(self):
        words = ["-e", "two words", "", "*", "$HOME", "`id`", "a\nb", "!", 'quo"te', "it's", "\\"]
        for command in ("gst-launch-1.0", "facesr"):
            done = self.start(command, *words)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout.split("\0"), [command, *words, ""])

    def test_every_command_of_the_program_can_do_without_its_name(self):
        source = (ROOT / "src/bin/facesr/main.rs").read_text()
        commands = re.findall(r"^    (\w+)\(", re.search(r"^enum Command \{\n(.*?)^\}", source, re.M | re.S)[1], re.M)
        self.assertIn("Enhance", commands)
        for command in [*map(str.lower, commands), "help", "--version"]:
            done = self.start(command, "in put", "--scale=2")
            self.assertEqual(done.stdout.split("\0"), ["facesr", command, "in put", "--scale=2", ""], command)

    def test_any_other_command_is_started_as_it_is(self):
        fake_program(self.bin / "another", PRINT_WORDS + "exit 7\n")
        done = self.start("another", "word")
        self.assertEqual((done.returncode, done.stdout), (7, "another\0word\0"))
        self.assertEqual(self.start("nosuchcommand").returncode, 127)

    def test_without_a_command_it_says_how_to_call_it(self):
        done = self.start()
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1))
        for word in ("gst-launch-1.0", "enhance"):
            self.assertIn(word, done.stderr)

    def test_signals_reach_the_command_which_is_the_same_process(self):
        for name, number in (("TERM", signal.SIGTERM), ("INT", signal.SIGINT)):
            trap = f"trap 'echo {name} in $$; exit 42' {name}"
            fake_program(self.bin / "gst-launch-1.0", f"{trap}\necho ready\nwhile :; do :; done\n")
            # In a group of its own, so that nothing is left where the signal goes astray.
            process = subprocess.Popen(
                [ENTRYPOINT, "gst-launch-1.0"],
                env=self.environment(),
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
                # A job in the background is started with SIGINT ignored, and no shell can trap what it was given so.
                preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL),
            )
            try:
                self.assertEqual(process.stdout.readline(), "ready\n")
                process.send_signal(number)
                said, _ = process.communicate(timeout=10)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                process.stdout.close()
            self.assertEqual((process.returncode, said), (42, f"{name} in {process.pid}\n"))


class Providers(Machine):
    def test_the_table_of_providers_was_read(self):
        self.assertLess({"cpu", *ON_GPUS}, set(PROVIDERS))

    def test_every_provider_of_the_program_is_known_and_no_other(self):
        self.give_gpu()
        self.starts()
        for name in ["auto", *PROVIDERS]:
            self.starts(FACESR_PROVIDER=name, DOCTOR=f"provider     {name:<10} works")
        for name in ("gpu", "CUDA", "cuda ", "*", "auto,cpu"):
            self.refuses(2, f"`{name}`", *PROVIDERS, FACESR_PROVIDER=name, DOCTOR=f"provider     {name:<10} works")

    def test_without_a_gpu_that_is_wanted_one_line_says_how_to_give_one(self):
        for name in ON_GPUS:
            shutil.rmtree(self.root / "dev", ignore_errors=True)
            works = {"FACESR_PROVIDER": name, "DOCTOR": f"provider     {name:<10} works"}
            how = (f"FACESR_PROVIDER is {name}", "--gpus all", "--device nvidia.com/gpu=all", "FACESR_PROVIDER=auto")
            self.refuses(4, "/dev/nvidiactl", *how, **works)
            touch(self.root / "dev/nvidiactl")
            self.refuses(4, DRIVER, "Container Toolkit", *how, **works)

    def test_a_driver_without_a_device_is_no_gpu(self):
        self.give_gpu()
        (self.root / "dev/nvidiactl").unlink()
        self.refuses(4, "/dev/nvidiactl", FACESR_PROVIDER="cuda", DOCTOR="provider cuda works")

    def test_a_gpu_is_found_by_each_of_its_devices_and_wherever_the_driver_is(self):
        elsewhere = self.folder / "else where"
        places = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib", "usr/lib64", "usr/local/lib"]
        places += ["usr/lib/wsl/lib", "usr/local/nvidia/lib64"]
        in_loader = f"\tlibcu.so (libc6) => /x\n\t{DRIVER} (libc6,x86-64) => /somewhere/{DRIVER}\n"
        cuda = {"FACESR_PROVIDER": "cuda", "DOCTOR": "provider     cuda       works"}
        for device in ("nvidiactl", "dxg"):
            touch(self.root / "dev" / device)
            for place in places:
                driver = self.root / place / DRIVER
                touch(driver)
                self.starts(**cuda)
                driver.unlink()
                self.refuses(4, DRIVER, **cuda)
            self.starts(**cuda, LOADER=in_loader)
            self.refuses(4, DRIVER, **cuda, LOADER=in_loader.replace(DRIVER, f"{DRIVER}23"))
            touch(elsewhere / DRIVER)
            self.starts(**cuda, LD_LIBRARY_PATH=f"/nowhere:{elsewhere}")
            (elsewhere / DRIVER).unlink()
            (self.root / "dev" / device).unlink()

    def test_a_provider_on_which_no_network_ran_is_refused_with_the_reason_of_doctor(self):
        self.give_gpu()
        for name in (*ON_GPUS, "openvino"):
            others = "\n".join(f"provider     {other:<10} works" for other in PROVIDERS if other != name)
            reason = f"{others}\nprovider     {name:<10} no: the driver is too old"
            self.refuses(4, f"is {name}", "work: the driver is too old\n", FACESR_PROVIDER=name, DOCTOR=reason)
            self.refuses(4, f"is {name}", "says nothing", FACESR_PROVIDER=name, DOCTOR=others)
        (self.bin / "facesr").unlink()
        self.refuses(4, "says nothing", FACESR_PROVIDER="cuda")

    def test_what_asks_for_no_provider_asks_doctor_nothing(self):
        fake_program(self.bin / "facesr", f"touch {shlex.quote(str(self.folder))}/asked\n")
        for name in ("auto", "cpu"):
            self.starts(FACESR_PROVIDER=name)
        self.assertFalse((self.folder / "asked").exists())

    def test_the_lines_of_the_real_doctor_are_understood(self):
        program = plugin_dir(self).parent / "facesr"
        (self.bin / "facesr").unlink()
        (self.bin / "facesr").symlink_to(program.resolve())
        passed = {name: os.environ[name] for name in ("FACESR_CACHE_DIR", "XDG_CACHE_HOME", "HOME") if name in os.environ}
        said = subprocess.run([program, "doctor", "--json"], capture_output=True, text=True, timeout=60)
        providers = json.loads(said.stdout)["providers"]
        self.assertTrue(any(provider["works"] for provider in providers), said.stdout)
        self.give_gpu()
        for provider in providers:
            name = provider["name"]
            variables = {**passed, "FACESR_PROVIDER": name}
            if provider["works"]:
                self.starts(**variables)
            else:
                self.refuses(4, provider["reason"], **variables)
        text = subprocess.run([program, "doctor"], capture_output=True, text=True, timeout=60).stdout
        for provider in providers:
            if provider["works"]:
                self.assertRegex(text, rf"(?m)^provider +{provider['name']} +works$")


class Needs(Machine):
    def test_a_missing_runtime_is_one_line_that_says_what_to_do(self):
        self.runtime.unlink()
        self.refuses(4, "ONNX Runtime is missing", "Containerfile", "FACESR_ONNXRUNTIME")

    def test_a_runtime_is_found_wherever_the_element_finds_it(self):
        self.runtime.unlink()
        cache = self.folder / "home/.cache/facesr/runtime/libonnxruntime.so"
        other = self.folder / "cache"
        for place in (
            cache,
            self.root / "usr/lib/x86_64-linux-gnu/gstreamer-1.0/libonnxruntime.so",
            self.root / "usr/lib/x86_64-linux-gnu/libonnxruntime.so",
            self.root / "usr/local/lib" / RUNTIME,
        ):
            touch(place)
            self.starts()
            place.unlink()
            self.refuses(4, "ONNX Runtime is missing")
        touch(other / "facesr/runtime/libonnxruntime.so")
        self.starts(XDG_CACHE_HOME=other)
        self.starts(FACESR_CACHE_DIR=other / "facesr", XDG_CACHE_HOME="/nowhere")
        self.refuses(4, "ONNX Runtime is missing", FACESR_CACHE_DIR="/nowhere", XDG_CACHE_HOME=other)
        self.starts(LOADER=f"\t{RUNTIME} (libc6,x86-64) => /somewhere/{RUNTIME}\n")

    def test_a_runtime_that_was_named_is_not_passed_over(self):
        for name in ("FACESR_ONNXRUNTIME", "ORT_DYLIB_PATH"):
            self.refuses(4, "/no/such/file.so", name, **{name: "/no/such/file.so"})
            self.starts(**{name: self.runtime})
        self.starts(FACESR_ONNXRUNTIME=self.runtime, ORT_DYLIB_PATH="/no/such/file.so")
        self.refuses(4, "/no/such", FACESR_ONNXRUNTIME="/no/such/file.so", ORT_DYLIB_PATH=self.runtime)
        # A bare name is for the loader, whose search is the element's to ask for.
        self.runtime.unlink()
        for name in ("FACESR_ONNXRUNTIME", "ORT_DYLIB_PATH"):
            self.starts(**{name: "libother.so"})

    def test_missing_networks_are_one_line_that_says_what_to_do(self):
        self.network.unlink()
        self.refuses(4, "no networks", "Containerfile", "FACESR_MODEL_PATH")

    def test_networks_are_found_wherever_the_element_finds_them(self):
        self.network.unlink()
        for folder in (
            self.folder / "home/.cache/facesr/models",
            self.root / "usr/lib/x86_64-linux-gnu/gstreamer-1.0/models",
            self.root / "usr/local/share/facesr/models",
            self.root / "usr/share/facesr/models",
        ):
            touch(folder / "x.onnx", folder / "x.onnx.modelinfo")
            self.starts()
            (folder / "x.onnx").unlink()
            self.refuses(4, "no networks")
        mine = self.folder / "my networks"
        touch(mine / "x.onnx", mine / "x.onnx.modelinfo")
        self.starts(FACESR_MODEL_PATH=f"/nowhere:{mine}")
        (mine / "x.onnx").unlink()
        self.refuses(4, "no networks", FACESR_MODEL_PATH=f"/nowhere:{mine}")


def instructions() -> list:
    """Those of the Containerfile, as (word, rest)."""
    text = (PACKAGING / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def of(word: str, among=None) -> list:
    return [rest for name, rest in (instructions() if among is None else among) if name == word]


def stages() -> list:
    """Instructions of each stage, the first of which is FROM."""
    found = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def copied_files() -> set:
    """Everything that the image is built from, relative to the repository."""
    files = set()
    for rest in of("COPY"):
        if not rest.startswith("--from="):
            *sources, _ = rest.split()
            for source in sources:
                for path in ROOT.glob(source):
                    files |= {path, *path.rglob("*")}
    return {str(path.relative_to(ROOT)) for path in files if path.is_file()}


class Image(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.bin = self.folder / "bin"

    def run_step(self, told_by: str, **variables) -> subprocess.CompletedProcess:
        """The RUN step with this word in it, with the image's folders in a temporary one."""
        (step,) = (rest for rest in of("RUN") if told_by in rest)
        step = re.sub(r"(?<![\w$.}])/(staged|fetched|venv|cuda)\b", rf"{self.folder}/\1", step)
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", **variables}
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        return subprocess.run(["sh", "-c", step], cwd=source, env=environment, capture_output=True, text=True)

    def staged(self) -> set:
        root = self.folder / "staged"
        return {f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file()}

    def test_every_file_that_is_copied_exists(self):
        sources = [source for rest in of("COPY") if not rest.startswith("--from=") for source in rest.split()[:-1]]
        self.assertIn("src", sources)
        for source in sources:
            self.assertTrue(list(ROOT.glob(source)), source)

    def test_every_file_that_cargo_reads_is_copied(self):
        files = copied_files()
        manifest = (ROOT / "Cargo.toml").read_text()
        for kind, folder in (("bench", "benches"), ("test", "tests"), ("example", "examples")):
            for name in re.findall(rf'^\[\[{kind}\]\]\nname = "(\w+)"', manifest, re.M):
                self.assertTrue({f"{folder}/{name}.rs", f"{folder}/{name}/main.rs"} & files, name)
        included = 0
        for source in (ROOT / "src").rglob("*.rs"):
            for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text(encoding="utf-8")):
                included += 1
                self.assertIn(os.path.relpath(source.parent / name, ROOT), files, source)
        self.assertTrue(included)
        self.assertLess({"Cargo.toml", "Cargo.lock", "build.rs"}, files)

    def test_every_step_is_a_command_for_the_shell(self):
        steps = of("RUN")
        self.assertGreater(len(steps), 5)
        for step in steps:
            done = subprocess.run(["sh", "-n"], input=step, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), step)

    def test_every_stage_that_is_copied_from_comes_before(self):
        known = []
        for stage in stages():
            for rest in of("COPY", stage):
                if origin := re.match(r"--from=(\S+)", rest):
                    self.assertIn(origin[1], known)
            known += re.findall(r" AS (\w+)$", stage[0][1])
        self.assertTrue(known)

    def test_the_image_is_debian_12_with_the_rust_of_the_manifest(self):
        images = dict(rest.split("=") for rest in of("ARG") if "_IMAGE=" in rest)
        bases = [stage[0][1].split()[0] for stage in stages()]
        self.assertEqual(bases, [f"${{{name}}}" for name in images])
        rust = re.search(r'^rust-version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertEqual(list(images.values()), [f"rust:{rust}-bookworm", "debian:bookworm-slim"])
        # What FROM uses is declared before the first of them.
        words = [name for name, _ in instructions()]
        self.assertEqual(words[: len(images) + 1], ["ARG"] * len(images) + ["FROM"])

    def test_what_steps_ask_of_the_builder_is_declared_before_them(self):
        for stage in stages():
            known = {"plugins"}
            for name, rest in stage:
                if name == "ARG":
                    known.add(rest.split("=")[0])
                elif name == "ENV":
                    known |= set(re.findall(r"(\w+)=", rest))
                if name in ("RUN", "ENV", "COPY"):
                    self.assertLessEqual(set(re.findall(r"\$\{?(\w+)", rest)), known, rest)

    def test_every_package_is_one_of_debian(self):
        listed = (ROOT / "scripts/system-packages").read_text()
        known = set(re.search(r'^packages="(.*?)"', listed, re.M | re.S)[1].split())
        installs = [step for step in of("RUN") if "apt-get install" in step]
        self.assertTrue(installs)
        for step in installs:
            self.assertIn("--no-install-recommends", step)
            words = re.search(r"apt-get install (.*?)&&", step)[1].split()
            for package in [word for word in words if not word.startswith("-")]:
                if package not in known:
                    self.assertTrue(self.has_package(package), f"Debian has no {package}")

    def has_package(self, name: str) -> bool:
        """Whether apt knows it; where apt knows nothing, whether a page names it."""
        if shutil.which("apt-cache"):
            known = subprocess.run(["apt-cache", "policy", name], capture_output=True, text=True).stdout
            if "Candidate: (none)" not in known and "Candidate:" in known:
                return True
            lists = subprocess.run(["apt-cache", "policy", "gstreamer1.0-rtsp", "coreutils"], capture_output=True, text=True)
            if " 500 " in lists.stdout:
                return False
        shout(f"whether Debian has {name}: apt-cache knows nothing; a page that names it is enough")
        return any(name in text for text in test_docs.PAGES_TEXT.values())

    def test_the_final_stage_does_not_run_as_root_and_has_what_the_program_needs(self):
        last = stages()[-1]
        user = of("USER", last)[-1]
        self.assertRegex(user, r"^[1-9]\d*(:[1-9]\d*)?$")
        made = [step for step in of("RUN", last) if "useradd" in step]
        self.assertIn(f"--uid {user.split(':')[0]} ", made[0])
        (packages,) = [step for step in of("RUN", last) if "apt-get install" in step]
        # Every package that `facesr doctor` names is there.
        doctor = (ROOT / "src/bin/facesr/doctor.rs").read_text()
        named = set(re.findall(r'"(gstreamer1\.0-[\w-]+)"', doctor))
        self.assertTrue(named)
        for package in named | {"gstreamer1.0-tools"}:
            self.assertIn(package, packages.split())

    def test_the_command_is_the_entrypoint_and_is_stopped_by_what_pipelines_hear(self):
        (entrypoint,) = of("ENTRYPOINT")
        self.assertEqual(json.loads(entrypoint), [ENTRYPOINT.name])
        self.assertTrue(os.access(ENTRYPOINT, os.X_OK))
        self.assertEqual(of("STOPSIGNAL"), ["SIGINT"])
        self.assertEqual(of("CMD"), [])

    def test_what_is_installed_is_what_meson_installs_and_the_entrypoint(self):
        plugins = "/usr/lib/some-linux-gnu/gstreamer-1.0"
        fake_program(self.bin / "pkg-config", f'[ "$*" = "--variable=pluginsdir gstreamer-1.0" ] && echo {plugins}\n')
        meson = (ROOT / "meson.build").read_text()
        own = [Path(name).name for name in re.findall(r"'(models/trained/[^']+)'", meson)]
        outputs = re.findall(r"'([^']+)'", re.search(r"output: \[(.*)\]", meson)[1])
        self.assertEqual(outputs, ["libgstfacesr.so", "facesr"])
        source = self.folder / "source"
        touch(*(source / file for file in copied_files()))
        touch(*(source / "target/release" / name for name in outputs))
        touch(*(self.folder / "fetched/models" / name for name in own))
        done = self.run_step("pluginsdir")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        models = "/usr/share/facesr/models"
        expected = {f"{plugins}/{outputs[0]}", f"/usr/bin/{outputs[1]}", *(f"{models}/{name}" for name in own)}
        expected |= {"/usr/share/gstreamer-1.0/presets/GstFaceSr.prs", f"/usr/bin/{ENTRYPOINT.name}"}
        licences = {f"/usr/share/doc/facesr/{name}" for name in ("LICENSE-MIT", "LICENSE-APACHE")}
        self.assertEqual(self.staged(), expected | licences)
        for name in (outputs[1], ENTRYPOINT.name):
            self.assertTrue(os.access(self.folder / "staged/usr/bin" / name, os.X_OK), name)
        # The page says the same places.
        page = test_docs.PAGES_TEXT["packaging.md"]
        for row in ("| `libgstfacesr.so` | `LIBDIR/gstreamer-1.0` |", "| `facesr` | `BINDIR` |", "| `DATADIR/facesr/models` |"):
            self.assertIn(row, page)

    def test_networks_are_fetched_as_make_setup_does_or_by_name(self):
        fake_program(self.bin / "python3", f'[ "$1 $2" = "-m venv" ]\n')
        for program in ("pip", "python"):
            fake_program(self.folder / "venv/bin" / program, f'echo {program} "$@" >>"$SAID"\n')
        said = self.folder / "said"
        fetch = f"python models/fetch.py --cache {self.folder}/fetched"
        for networks, more in (("", ""), ("yunet span-x2", " --only runtime yunet span-x2")):
            said.unlink(missing_ok=True)
            done = self.run_step("fetch.py", NETWORKS=networks, SAID=str(said))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            requirements = "pip install --quiet --requirement models/requirements.txt"
            self.assertEqual(said.read_text().splitlines(), [requirements, fetch + more])
        # And the program that fetches knows these words.
        command = [sys.executable, "models/fetch.py", "--help"]
        usage = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
        self.assertTrue("--cache" in usage and "--only" in usage, usage)

    def test_the_runtime_lies_where_the_loader_looks_for_each_provider(self):
        lib = "/usr/local/lib"
        touch(self.folder / "fetched/runtime/libonnxruntime.so")
        done = self.run_step("PROVIDER", PROVIDER="cpu")
        self.assertEqual((done.returncode, self.staged()), (0, {f"{lib}/libonnxruntime.so"}), done.stderr)
        shutil.rmtree(self.folder / "staged")
        cuda = self.folder / "cuda"
        names = ["libonnxruntime.so.1.31.1", "libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"]
        touch(*(cuda / "onnxruntime/capi" / name for name in names))
        touch(*(cuda / "nvidia" / name for name in ("cu13/lib/libcudart.so.13", "cudnn/lib/libcudnn.so.9")))
        unwanted = ("cu13/lib/libnvblas.so.13", "cu13/include/cuda.h", "__init__.py")
        touch(*(cuda / "nvidia" / name for name in unwanted), cuda / "onnxruntime/capi/onnxruntime_pybind11_state.so")
        touch(cuda / "onnxruntime/LICENSE", *(
            cuda / f"{name}-1.dist-info/licenses/License.txt" for name in ("nvidia_cublas", "nvidia_cudnn_cu13")
        ))
        fake_program(self.folder / "venv/bin/pip", f'echo "$@" >{shlex.quote(str(self.folder / "said"))}\n')
        done = self.run_step("PROVIDER", PROVIDER="cuda")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        libraries = {name for name in self.staged() if name.startswith(lib)}
        self.assertEqual(libraries, {f"{lib}/{name}" for name in [*names, "libcudart.so.13", "libcudnn.so.9"]})
        licences = {f"/usr/share/doc/facesr/LICENSE-{name}" for name in ("onnxruntime", "nvidia-cuda", "nvidia-cudnn")}
        self.assertEqual(self.staged() - libraries, licences)
        self.assertFalse(cuda.exists())
        said = (self.folder / "said").read_text().split()
        self.assertIn("--require-hashes", said)
        self.assertIn("packaging/cuda-requirements.txt", said)

    def test_an_unknown_provider_stops_the_building_in_one_line(self):
        done = self.run_step("PROVIDER", PROVIDER="rocm")
        self.assertEqual((done.returncode, done.stderr), (2, "PROVIDER is rocm: use cpu or cuda\n"))

    def test_the_provider_that_is_built_for_is_the_one_that_must_be_there(self):
        self.assertEqual({rest for rest in of("ARG") if rest.startswith("PROVIDER")}, {"PROVIDER=cpu"})
        (environment,) = of("ENV", stages()[-1])
        self.assertIn("FACESR_PROVIDER=$PROVIDER", environment.split())
        cache = re.search(r"FACESR_CACHE_DIR=(\S+)", environment)[1]
        (user,) = [step for step in of("RUN") if "useradd" in step]
        self.assertIn(f"--owner=facesr --group=facesr {cache}", user)

    def test_what_cuda_needs_is_pinned_by_digest_and_of_the_runtime_that_is_tested(self):
        lines = [line for line in (PACKAGING / "cuda-requirements.txt").read_text().splitlines() if line[0] != "#"]
        self.assertTrue(lines)
        for line in lines:
            self.assertRegex(line, r"^[a-z0-9-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}$")
        tested = json.loads((ROOT / "models/packages.json").read_text())["packages"]["onnxruntime"]["version"]
        self.assertTrue(any(line.startswith(f"onnxruntime-gpu=={tested} ") for line in lines), tested)


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#", ";"))
    parser.optionxform = str
    parser.read_string((PACKAGING / "facesr@.service").read_text())
    return parser


def settings(name: str) -> list:
    """Every value of a setting; the parser keeps the last of several."""
    return re.findall(rf"^{name}=(.*)$", (PACKAGING / "facesr@.service").read_text(), re.M)


def variables(path: Path) -> dict:
    """What systemd reads from an environment file without quotes around values: lines go on after a backslash."""
    text = path.read_text().replace("\\\n", "")
    pairs = [line.split("=", 1) for line in text.splitlines() if line.strip() and line[0] not in "#;"]
    return dict(pairs)


class Service(unittest.TestCase):
    def test_the_unit_has_the_sections_of_a_service_and_sets_nothing_twice(self):
        parsed = unit()
        self.assertEqual(parsed.sections(), ["Unit", "Service", "Install"])
        for section in parsed.sections():
            for name in parsed[section]:
                if name not in ("Environment", "DeviceAllow"):
                    self.assertEqual(len(settings(name)), 1, name)

    def test_it_starts_a_pipeline_whose_words_are_its_own(self):
        service = unit()["Service"]
        program, *words = service["ExecStart"].split()
        self.assertEqual((program, words), ("/usr/bin/gst-launch-1.0", ["-e", "$PIPELINE"]))
        self.assertTrue(Path(program).is_file())
        self.assertEqual(service["EnvironmentFile"], "/etc/facesr/%i.env")

    def test_it_is_stopped_by_what_ends_the_stream_and_is_not_started_for_ever(self):
        parsed = unit()
        service = parsed["Service"]
        self.assertEqual((service["KillSignal"], service["Restart"]), ("SIGINT", "on-failure"))
        self.assertGreater(int(service["TimeoutStopSec"]), 0)
        # As long as the page says: half an hour of tries, ten seconds apart, within what is counted.
        tries = int(parsed["Unit"]["StartLimitBurst"]) * int(service["RestartSec"])
        self.assertEqual((tries, parsed["Unit"]["StartLimitIntervalSec"]), (1800, "1h"))

    def test_it_can_do_little_but_reach_cameras_and_gpus(self):
        service = unit()["Service"]
        for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "RestrictSUIDSGID", "ProtectKernelModules"):
            self.assertEqual(service[name], "yes", name)
        self.assertEqual((service["ProtectSystem"], service["CapabilityBoundingSet"]), ("strict", ""))
        self.assertEqual(set(service["SupplementaryGroups"].split()), {"video", "render"})
        devices = {value.split()[0] for value in settings("DeviceAllow")}
        self.assertLess({"char-video4linux", "char-drm", "char-nvidia*"}, devices)
        # Either would stop a GPU from being used.
        for name in ("PrivateDevices", "MemoryDenyWriteExecute"):
            self.assertNotIn(name, service)

    def test_calls_that_are_refused_do_not_kill_and_exceptions_may_be_thrown(self):
        service = unit()["Service"]
        self.assertIn("mincore", service["SystemCallFilter"].split())
        self.assertEqual(service["SystemCallErrorNumber"], "EPERM")

    def test_systemd_finds_nothing_wrong_with_the_unit(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest(shout(f"{self.id()}: there is no systemd-analyze; install the package systemd"))
        done = subprocess.run(["systemd-analyze", "verify", PACKAGING / "facesr@.service"], capture_output=True, text=True)
        # Other units of this machine have faults of their own.
        ours = [line for line in done.stderr.splitlines() if "facesr" in line]
        self.assertEqual(ours, [])

    def test_the_pipeline_of_the_example_has_elements_that_exist(self):
        line = variables(PACKAGING / "example.env")["PIPELINE"]
        _, parts = test_docs.parse(f"gst-launch-1.0 -e {line}")
        elements = {part.word for part in parts if part.is_element}
        self.assertLess({"rtspsrc", "facesr", "rtspclientsink"}, elements)
        environment = {**os.environ, "GST_PLUGIN_PATH": str(plugin_dir(self))}
        for name in elements:
            # --exists compares with GStreamer's own version unless it is told another.
            command = ["gst-inspect-1.0", "--exists", "--atleast-version=0.1", name]
            there = subprocess.run(command, env=environment, capture_output=True).returncode == 0
            if not there and name == "rtspclientsink":
                shout(f"whether {name} exists: install gstreamer1.0-rtsp")
                continue
            self.assertTrue(there, name)

    def test_the_pipeline_of_the_example_runs_to_its_end(self):
        plugin = plugin_dir(self)
        line = variables(PACKAGING / "example.env")["PIPELINE"]
        with tempfile.TemporaryDirectory() as folder:
            command = test_docs.staged(f"gst-launch-1.0 -e {line}", test_docs.Stage(Path(folder), {}))
            wrong = test_docs.run(command, Path(folder), str(plugin))
            self.assertFalse(wrong, f"{shlex.join(command)}\n{wrong}")

    def test_the_example_needs_no_shell(self):
        for name, value in variables(PACKAGING / "example.env").items():
            self.assertRegex(name, r"^[A-Z_]+$")
            self.assertNotRegex(value, r"[$`~*;|<>]", name)


class Page(unittest.TestCase):
    page = test_docs.PAGES_TEXT["deployment.md"]

    def test_it_names_every_file_of_the_folder_that_users_need_and_none_that_is_not_there(self):
        for name in ("Containerfile", "facesr@.service", "example.env"):
            self.assertIn(f"packaging/{name}", self.page)
        for name in re.findall(r"packaging/([\w@.-]*\w)", self.page):
            self.assertTrue((PACKAGING / name).exists(), name)

    def test_arguments_of_the_build_are_those_that_it_takes(self):
        taken = {rest.split("=")[0] for rest in of("ARG")}
        named = set(re.findall(r"--build-arg (\w+)=", self.page))
        self.assertTrue(named and named <= taken, named)

    def test_networks_that_it_calls_free_to_publish_are_there_and_not_among_those_that_are_not(self):
        names = re.search(r'NETWORKS="([^"]+)"', self.page)[1].split()
        listed = subprocess.run(
            [sys.executable, ROOT / "models/fetch.py", "--list"], capture_output=True, text=True, check=True
        ).stdout
        known = {line.split()[0] for line in listed.splitlines()}
        forbidden = test_docs.PAGES_TEXT["packaging.md"].split("## What must not be bundled")[1].split("\n## ")[0]
        for name in names:
            self.assertIn(name, known)
            if name != "yunet":
                self.assertNotIn(f"`{name}`", forbidden)

    def test_the_line_that_it_shows_is_the_one_that_is_said(self):
        (shown,) = re.findall(r"^    (facesr: .*)$", self.page, re.M)
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "FACESR_ROOT": folder, "FACESR_PROVIDER": "cuda"}
            done = subprocess.run([ENTRYPOINT, "doctor"], env=environment, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (4, f"{shown}\n"))

    def test_folders_of_the_service_are_those_of_the_unit(self):
        service = unit()["Service"]
        for name, where in (("StateDirectory", "/var/lib"), ("CacheDirectory", "/var/cache")):
            self.assertIn(f"`{where}/{service[name].replace('%i', 'NAME')}`", self.page)
        cache = re.search(r"make setup FACESR_CACHE_DIR=(\S+)", self.page)[1]
        self.assertIn(f"FACESR_CACHE_DIR={cache}", settings("Environment"))


if __name__ == "__main__":
    unittest.main()

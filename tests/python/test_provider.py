"""scripts/provider and `make demo PROVIDER=...`: what is missing is said before anything is downloaded."""

import os
import platform
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINS = (ROOT / "packaging/cuda-requirements.txt").read_text()
HAS_GPU = 'echo "GPU 0: some (UUID: GPU-1)"\n'


class Provider(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.root, self.bin, self.cache = (self.folder / name for name in ("root", "bin", "cache"))
        for folder in (self.root / "proc", self.bin, self.cache / "venv/bin"):
            folder.mkdir(parents=True)
        self.processor("AuthenticAMD")
        self.program(self.bin / "ldconfig", "")
        self.program(self.bin / "uname", "echo x86_64\n")
        # What pip would be asked, and what it would leave.
        self.said = self.folder / "said"
        capi = "$to/onnxruntime/capi"
        self.program(
            self.cache / "venv/bin/python",
            f'echo "$@" >>"{self.said}"\nwhile [ $# -gt 0 ]; do [ "$1" = --target ] && to=$2; shift; done\n'
            f'[ "$to" ] || exit 0\nmkdir -p "{capi}"\n[ "$FAILS" ] && exit 1\n: >"{capi}/libonnxruntime.so.1.31.1"\n',
        )

    def program(self, path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)

    def processor(self, vendor: str) -> None:
        (self.root / "proc/cpuinfo").write_text(f"processor : 0\nvendor_id : {vendor}\n")

    def driver(self, libraries=("libcuda.so.1",), smi: str = HAS_GPU) -> None:
        lines = "".join(f"\\t{name} (libc6,x86-64) => /usr/lib/{name}\\n" for name in libraries)
        self.program(self.bin / "ldconfig", f"printf '{lines}'\n")
        self.program(self.bin / "nvidia-smi", smi)

    def environment(self, **more) -> dict:
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "FACESR_ROOT": str(self.root), "HOME": str(self.folder), "FAILS": "", **more}

    def run_it(self, *words, **more) -> subprocess.CompletedProcess:
        return subprocess.run([ROOT / "scripts/provider", *words], env=self.environment(**more), capture_output=True, text=True)

    def refused(self, provider: str, *expected: str, **more) -> None:
        for task in ("check", "fetch"):
            done = self.run_it(task, provider, str(self.cache), **more)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
            for text in expected:
                self.assertIn(text, done.stderr)
            self.assertFalse(self.said.exists(), "something was downloaded")

    def test_a_machine_without_what_a_provider_needs_is_told_so_and_nothing_is_downloaded(self):
        for provider in ("cuda", "tensorrt"):
            self.refused(provider, "no NVIDIA driver", "libcuda.so.1", "nothing was downloaded")
        self.refused("abacus", "`abacus`", "cuda")
        self.driver(smi="echo no devices; exit 6\n")
        self.refused("cuda", "shows no GPU", "nvidia-smi")
        self.driver()
        self.refused("tensorrt", "TensorRT 10", "libnvinfer.so.10")
        self.program(self.bin / "uname", "echo aarch64\n")
        for provider in ("cuda", "tensorrt", "openvino"):
            self.refused(provider, "x86_64", "aarch64")

    def test_a_machine_that_has_it_is_let_through_wherever_the_driver_lies(self):
        self.driver(("libcuda.so.1", "libnvinfer.so.10"))
        for provider in ("", "auto", "cpu", "cuda", "tensorrt"):
            self.assertEqual(self.run_it("check", provider).returncode, 0, provider)
        self.assertEqual(self.run_it("check", "openvino").returncode, 0)
        # Where there is no nvidia-smi, the library is enough.
        self.program(self.bin / "ldconfig", "")
        (self.bin / "nvidia-smi").unlink()
        for place, more in (("usr/lib/wsl/lib", {}), ("elsewhere", {"LD_LIBRARY_PATH": f"/none:{self.root}/elsewhere"})):
            library = self.root / place / "libcuda.so.1"
            library.parent.mkdir(parents=True)
            library.touch()
            self.assertEqual(self.run_it("check", "cuda", **more).returncode, 0, place)
            library.unlink()
            self.assertEqual(self.run_it("check", "cuda", **more).returncode, 1, place)

    def test_openvino_comes_as_a_plugin_for_processors_of_intel_and_as_a_runtime_for_others(self):
        for vendor, item in (("GenuineIntel", "openvino"), ("AuthenticAMD", "openvino-runtime"), ("HygonGenuine", "openvino-runtime")):
            self.processor(vendor)
            done = self.run_it("fetch", "openvino", str(self.cache))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            asked = self.said.read_text().splitlines()[-1].split()
            self.assertEqual(asked[1:], ["--cache", str(self.cache), "--only", item])

    def test_what_is_pinned_is_fetched_once_whole_and_again_when_the_pins_change(self):
        self.driver()
        for expected in ("now in", "already"):
            done = self.run_it("fetch", "cuda", str(self.cache))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(expected, done.stdout)
        (asked,) = self.said.read_text().splitlines()
        for word in ("--require-hashes", "--no-deps", "cuda-requirements.txt"):
            self.assertIn(word, asked)
        runtime = self.cache / "cuda/onnxruntime/capi/libonnxruntime.so"
        self.assertTrue(runtime.resolve().is_file())
        self.assertEqual((self.cache / "cuda/requirements.txt").read_text(), PINS)
        (self.cache / "cuda/requirements.txt").write_text("older")
        self.assertIn("now in", self.run_it("fetch", "cuda", str(self.cache)).stdout)
        self.assertEqual({path.name for path in self.cache.iterdir()}, {"venv", "cuda"})

    def test_a_download_that_fails_leaves_nothing(self):
        self.driver()
        done = self.run_it("fetch", "cuda", str(self.cache), FAILS="1")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))
        self.assertIn("check the network", done.stderr)
        self.assertEqual({path.name for path in self.cache.iterdir()}, {"venv"})

    @unittest.skipIf(platform.machine() != "x86_64", "the runtime for CUDA is for x86_64")
    def test_make_demo_stops_in_one_line_before_anything_is_set_up(self):
        fresh = self.folder / "fresh"
        for provider, expected in (("cuda", "no NVIDIA driver"), ("abacus", "abacus")):
            command = ["make", "--no-print-directory", "demo", f"PROVIDER={provider}", f"FACESR_CACHE_DIR={fresh}"]
            done = subprocess.run(command, cwd=ROOT, env=self.environment(), capture_output=True, text=True)
            self.assertNotEqual(done.returncode, 0)
            ours = [line for line in done.stderr.splitlines() if not line.startswith("make")]
            self.assertEqual(len(ours), 1, done.stderr)
            self.assertIn(expected, ours[0])
            self.assertEqual(done.stdout, "")
            self.assertFalse(fresh.exists())


if __name__ == "__main__":
    unittest.main()

"""ci/gpu_check: what counts as wrong and what only as not run, told by a program that says what is wanted; and slim_cuda."""

import contextlib
import io
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "ci"))

import gpu_check
import gpu_check_steps
import slim_cuda
from gpu_check_prepare import CheckError, Place, nvidia_folders

NODES = {"describe": "cuda", "nodes": {"CUDAExecutionProvider": 80}}
COMPARE = {"providers": ["cpu", "cuda"], "ms": [10.0, 1.0], "ratio": 10.0, "psnr": 70.0, "largest": 1}
ELEMENT = {
    "provider": "cuda", "ms": 2.0, "flowing_ms": 2.0, "bare_ms": 1.5, "ratio": 0.75, "stages_ms": {"upscale": 1.5}, "restored": 9,
    "tiles": 9, "frames": 9, "resident_mib": [100.0, 300.0, 301.0, 301.0, 302.0, 301.0], "large_picture": "device", "fallbacks": [],
}
BLEND = {"worst": 0.0, "kernels_ms": 0.2, "operators_ms": 2.5}
PLAN = gpu_check.DRY._replace(providers=("cuda",), models=("some",), sizes=("64x48",), faces=(0, 2), blends=(("33x17", 3, 16, "quality"),))


class Steps(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def run_with(self, plan=PLAN, seconds=60.0, **answers) -> gpu_check_steps.Check:
        """The steps with a program that answers so; an answer that is a text is an error."""
        answers = {"nodes": NODES, "compare": COMPARE, "element": ELEMENT, "blend": BLEND, **answers}
        tool = self.folder / "providers"
        cases = ""
        for name, answer in answers.items():
            do = f"echo '{answer}' >&2; exit 1" if isinstance(answer, str) else f"echo '{json.dumps(answer)}'"
            cases += f"{name}) {do} ;;\n"
        tool.write_text(f"#!/bin/sh\ncase $1 in\n{cases}esac\n")
        tool.chmod(0o755)
        place = Place(tool, tool, self.folder, self.folder)
        check = gpu_check_steps.Check(place, plan, time.monotonic() + seconds, "a GPU")
        with contextlib.redirect_stdout(io.StringIO()):
            check.run()
        return check

    def test_what_is_right_is_no_failure_and_every_step_has_a_row(self):
        check = self.run_with()
        self.assertEqual((check.failures, check.left_out), ([], []))
        steps = ("nodes", "to cpu", "blend of", "frames of", "0 faces", "2 faces")
        self.assertEqual(len(check.rows), len(steps))
        for step, row in zip(steps, check.rows):
            self.assertIn(step, row[0])
        lines = [line for line in check.table().splitlines() if line.startswith("|")]
        self.assertEqual({line.count("|") for line in lines}, {9})

    def test_each_thing_that_is_wrong_is_a_failure_of_its_own(self):
        elsewhere = {"CUDAExecutionProvider": 78, "CPUExecutionProvider": 2}
        for name, answer, expected in (
            ("nodes", {**NODES, "nodes": elsewhere}, "CPUExecutionProvider"),
            ("nodes", {**NODES, "nodes": {}}, "none at all"),
            ("compare", {**COMPARE, "psnr": 59.0}, "59.0 dB"),
            ("compare", {**COMPARE, "largest": 2}, "2 levels"),
            ("element", {**ELEMENT, "restored": 0}, "faces"),
            ("element", {**ELEMENT, "resident_mib": [100.0, 300.0, 305.0, 320.0, 340.0, 360.0]}, "memory grows"),
            ("element", {**ELEMENT, "fallbacks": ["blended slowly"]}, "blended slowly"),
            ("element", {**ELEMENT, "large_picture": "host"}, "on the host: no reason"),
            ("blend", {**BLEND, "worst": 2.0}, "2 levels"),
            ("blend", "Error: no kernels", "no kernels"),
        ):
            faces = (2,) if name == "element" else (0, 2)
            check = self.run_with(PLAN._replace(faces=faces), **{name: answer})
            self.assertEqual(len(check.failures), 1, (name, answer, check.failures))
            self.assertIn(expected, check.failures[0])
            self.assertIn(expected, check.table())

    def test_pictures_that_are_the_same_and_those_in_16_bits_are_right_as_far_as_they_may(self):
        self.assertEqual(self.run_with(compare={**COMPARE, "psnr": None, "largest": 0}).failures, [])
        half = PLAN._replace(providers=("cuda:fp16",))
        self.assertEqual(self.run_with(half, compare={**COMPARE, "psnr": 51.0, "largest": 9}).failures, [])
        self.assertEqual(len(self.run_with(half, compare={**COMPARE, "psnr": 49.0}).failures), 1)

    def test_settings_that_nothing_uses_yet_are_tried_on_cuda_alone_and_told_by_their_ratio(self):
        plan = PLAN._replace(layout="64x48")
        rows = [row for row in self.run_with(plan).rows if any(what in row[0] for what in gpu_check_steps.TRIALS.values())]
        self.assertEqual(len(rows), 3)
        for row in rows:
            self.assertIn("1.00 ms, 10.00 without, 10.00 times as fast, 70.0 dB", row[2])
        self.assertNotIn("channels last", self.run_with(plan._replace(providers=("cpu",)), nodes={**NODES, "nodes": {"CPUExecutionProvider": 8}}).table())

    def test_bars_are_told_as_kept_or_missed_and_are_no_failures(self):
        plan = PLAN._replace(bars=(gpu_check_steps.Bar("64x48", 2, 100), gpu_check_steps.Bar("8x8", 2, 1)))
        told = {**ELEMENT, "flowing_ms": 8.0, "ratio": 0.9, "ms": 10.0, "stages_ms": {"blend": 1.0}}
        for changed, missed in (
            ({}, []), ({"flowing_ms": 10.5}, ["100 frames/s: 95.2"]), ({"ratio": 0.8}, ["bare session: 0.80"]),
            ({"stages_ms": {"blend": 1.6}}, ["the host: 16%"]),
        ):
            check = self.run_with(plan, element={**told, **changed})
            self.assertEqual((check.failures, len(check.bars)), ([], 3))
            found = [bar for bar in check.bars if bar.endswith("MISSED")]
            self.assertEqual(len(found), len(missed), check.bars)
            self.assertTrue(all(text in bar for text, bar in zip(missed, found)), found)
            self.assertIn("Bars:", check.table())

    def test_what_cannot_run_is_told_with_its_reason_and_is_no_failure(self):
        check = self.run_with(element="Error: the GPU is busy")
        self.assertEqual((check.failures, len(check.left_out)), ([], 3))
        self.assertTrue(all("the GPU is busy" in text for text in check.left_out))
        late = self.run_with(seconds=0.0)
        self.assertTrue(all("no time" in text for text in late.left_out) and late.left_out)

    def test_an_answer_that_cannot_be_understood_is_told_and_ends_no_other_step(self):
        check = self.run_with(element={**ELEMENT, "flowing_ms": None})
        self.assertEqual([row[0] for row in check.rows if "faces" in row[0]], [])
        self.assertEqual(len(check.failures), 2)
        self.assertTrue(all("cannot be understood" in text for text in check.failures), check.failures)
        self.assertTrue(any("frames of" in row[0] for row in check.rows))
        for noise in ("words of a library\\n", ""):
            tool = self.folder / "noisy"
            tool.write_text(f"#!/bin/sh\nprintf '{noise}'; echo '{json.dumps(COMPARE)}'\n")
            tool.chmod(0o755)
            check.place = Place(tool, tool, self.folder, self.folder)
            self.assertEqual(check.tool("compare"), COMPARE)
        tool.write_text("#!/bin/sh\necho text\n")
        with self.assertRaisesRegex(CheckError, "no JSON: text"):
            check.tool("compare")

    def test_what_something_is_asked_of_is_timed_first_and_then_memory_and_then_the_rest(self):
        plan = PLAN._replace(sizes=("8x8", "64x48"), faces=(2, 0), bars=(gpu_check_steps.Bar("64x48", 2, 100),))
        order = [row[0].split(maxsplit=1)[1] for row in self.run_with(plan).rows if "faces" in row[0] or "frames of" in row[0]]
        self.assertEqual(order, ["64x48, 2 faces", "frames of 32x24", "8x8, 2 faces", "8x8, 0 faces", "64x48, 0 faces"])
        every = plan._replace(sizes=("64x48",), faces=(2,))
        self.assertIn("frames of", self.run_with(every).rows[-1][0])

    def test_memory_of_the_gpu_is_that_of_the_frames_and_not_of_a_process_that_ends(self):
        for memory, grows in (([10, 500, 500, 500, 500, 500, 500, 500, 500, 20], False), ([10, 500, 500, 520, 540, 560, 580, 600, 620, 20], True), ([5], False)):
            with unittest.mock.patch.object(gpu_check_steps.Gpu, "__enter__", lambda gpu: setattr(gpu, "memory", memory) or gpu):
                self.assertEqual(any("memory grows" in text for text in self.run_with().failures), grows, memory)

    def test_libraries_of_nvidia_are_found_in_the_packages_of_the_python_that_runs(self):
        """Wherever it lies; those of CUDA 13 are in one folder, cuDNN in another one."""
        packages = self.folder / "deep/in/some/.venv/lib/python3.12/site-packages"
        for folder in ("nvidia/cu13/lib", "nvidia/cudnn/lib", "tensorrt_libs", "nvidia/cu13/include"):
            (packages / folder).mkdir(parents=True)
        with unittest.mock.patch.object(sys, "path", ["", str(packages), *sys.path]):
            found = nvidia_folders()
        wanted = [packages / folder for folder in ("nvidia/cu13/lib", "nvidia/cudnn/lib", "tensorrt_libs")]
        self.assertEqual([path for path in found if packages in path.parents], wanted)

    def test_a_provider_that_does_not_start_is_left_out_and_none_at_all_is_a_failure(self):
        check = self.run_with(nodes="Error: no driver")
        self.assertEqual(check.failures, ["no provider ran"])
        self.assertIn("no driver", check.left_out[0])
        self.assertEqual(check.rows, [])

    def test_a_machine_without_a_gpu_is_told_so_in_one_line(self):
        old = os.environ["PATH"]
        os.environ["PATH"] = str(self.folder)
        try:
            for said, expected in ((None, "no nvidia-smi"), ("echo no devices; exit 6", "no devices"), ("exit 9", "says nothing")):
                if said:
                    (self.folder / "nvidia-smi").write_text(f"#!/bin/sh\n{said}\n")
                    (self.folder / "nvidia-smi").chmod(0o755)
                with self.assertRaises(CheckError) as caught:
                    gpu_check_steps.machine()
                self.assertIn(expected, str(caught.exception))
                self.assertNotIn("\n", str(caught.exception))
            (self.folder / "nvidia-smi").write_text("#!/bin/sh\necho One, 580.1, 80 GiB\n")
            self.assertEqual(gpu_check_steps.machine(), "One, 580.1, 80 GiB")
        finally:
            os.environ["PATH"] = old


def library(parts) -> tuple:
    """A library with such code (kind, architecture, bytes), in two containers, and where each lies."""
    code, places = b"", []
    for half in (parts[::2], parts[1::2]):
        body = b""
        for kind, architecture, bytes_ in half:
            header = slim_cuda.ENTRY.pack(kind, 1, 64, len(bytes_)).ljust(28, b"h") + struct.pack("<I", architecture)
            places.append((kind, architecture, len(code) + 16 + len(body) + 64, bytes_))
            body += header.ljust(64, b"h") + bytes_
        code += slim_cuda.CONTAINER.pack(slim_cuda.CONTAINER_BEGINS, 1, 16, len(body)) + body
        code += bytes(-len(code) % 8 + 16)
    names = b"\0.nv_fatbin\0.shstrtab\0"
    start = 64 + 3 * 64
    sections = [(0, 0, 0), (1, start, len(code)), (12, start + len(code), len(names))]
    table = b"".join(struct.pack("<IIQQQQ", name, 1, 0, 0, at, length).ljust(64, b"\0") for name, at, length in sections)
    head = (b"\x7fELF\x02\x01".ljust(40, b"\0") + struct.pack("<Q", 64)).ljust(58, b"\0") + struct.pack("<HHH", 64, 3, 2)
    return head + table + code + names, [(kind, arch, start + at, data) for kind, arch, at, data in places]


class Slim(unittest.TestCase):
    def test_code_for_one_architecture_stays_and_everything_else_stays_where_it_was(self):
        draw = random.Random(1)
        parts = [(2, arch, draw.randbytes(8 * draw.randint(1, 40))) for arch in (75, 80, 90, 100, 90)] + [(1, 90, b"portable")]
        data, places = library(parts)
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "all.so", Path(folder) / "one.so"
            source.write_bytes(data)
            said = slim_cuda.slim(source, target, 90)
            made = bytearray(target.read_bytes())
            self.assertIn("90", said)
            for kind, architecture, at, code in places:
                kept = kind == 2 and architecture == 90
                self.assertEqual(made[at : at + len(code)], code if kept else bytes(len(code)), (kind, architecture))
                made[at : at + len(code)] = code
            self.assertEqual(bytes(made), data)
            with self.assertRaisesRegex(slim_cuda.SlimError, "architecture 86"):
                slim_cuda.slim(source, target, 86)
            source.write_bytes(b"text")
            with self.assertRaisesRegex(slim_cuda.SlimError, "no 64-bit library"):
                slim_cuda.slim(source, target, 90)
            source.write_bytes(data.replace(b".nv_fatbin", b".nv_otherx"))
            with self.assertRaisesRegex(slim_cuda.SlimError, "no section"):
                slim_cuda.slim(source, target, 90)

    def test_code_that_language_models_alone_need_goes_as_well_where_its_names_can_be_read(self):
        """Pieces of machine code are numbered over all architectures, portable code is not counted."""
        parts = [(1, 90, b"portable"), (2, 75, b"a" * 8), (2, 90, b"b" * 8), (1, 90, b"portable"), (2, 90, b"c" * 8)]
        data, places = library(parts)
        # In the order of the file.
        pieces = [code for kind, _, _, code in sorted(places, key=lambda place: place[2]) if kind == 2]
        with tempfile.TemporaryDirectory() as folder:
            source, target, program = (Path(folder) / name for name in ("all.so", "one.so", "cuobjdump"))
            source.write_bytes(data)
            number = pieces.index(b"c" * 8) + 1
            program.write_text(f"#!/bin/sh\necho flash_fwd_kernel > all.{number}.sm_90.cubin; echo Cast > all.9.sm_90.cubin\n")
            program.chmod(0o755)
            slim_cuda.slim(source, target, 90, program)
            made = target.read_bytes()
            self.assertIn(b"b" * 8, made)
            self.assertNotIn(b"c" * 8, made)
            program.write_text("#!/bin/sh\necho no library >&2; exit 1\n")
            with self.assertRaisesRegex(slim_cuda.SlimError, "cuobjdump: no library"):
                slim_cuda.slim(source, target, 90, program)
            with self.assertRaisesRegex(slim_cuda.SlimError, "No such file"):
                slim_cuda.slim(source, target, 90, Path(folder) / "none")


if __name__ == "__main__":
    unittest.main()

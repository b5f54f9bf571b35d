"""The code for GPUs that lies in the source tree, and its source."""

import platform
import re
import sys
import unittest

from support import MODELS, fetch, shout

ROOT = MODELS.parent
sys.path.append(str(ROOT / "scripts"))

import kernels

COMPILER = fetch.cache_folder() / "providers/nvrtc"
ASSEMBLER = fetch.cache_folder() / "providers/ptxas"
CODE = kernels.SOURCE.with_suffix(".ptx").read_text()


class Kernels(unittest.TestCase):
    def needs_compiler(self) -> None:
        if platform.machine() != "x86_64":
            raise unittest.SkipTest(shout(f"kernels for GPUs: the compiler is for x86_64, and this machine is {platform.machine()}"))

    def compile(self, source: bytes) -> str:
        self.needs_compiler()
        return kernels.compiled(COMPILER, source)

    def test_the_code_is_what_the_compiler_makes_of_the_source(self):
        self.assertEqual(self.compile(kernels.SOURCE.read_bytes()), CODE, "run `make kernels`")

    def test_no_product_is_fused_with_a_sum_and_nothing_is_approximate(self):
        """It would round otherwise than the processor. What is to be rounded by itself is not fused by a driver either."""
        arithmetic = set(re.findall(r"^\s*((?:add|sub|mul|div|fma|mad)\.\S*f32)", CODE, re.M))
        self.assertEqual(arithmetic, {"add.rn.f32", "sub.rn.f32", "mul.rn.f32", "div.rn.f32"} & arithmetic)
        self.assertIn("mul.rn.f32", arithmetic)
        self.assertNotRegex(CODE, r"\.approx|\.ftz|double|\.f64")

    def test_threads_keep_their_numbers_in_registers(self):
        self.assertNotRegex(CODE, r"\.local|ld\.local|st\.local")

    def test_every_gpu_takes_every_kernel_and_half_of_the_threads_it_has_room_for_at_once(self):
        """What waits for memory is hidden by other threads: GPUs have 65,536 registers for 1024 to 2048."""
        self.needs_compiler()
        names = set(re.findall(r"\.entry (\w+)", CODE))
        self.assertEqual(len(names), 5)
        for gpu in kernels.GPUS:
            with self.subTest(gpu=gpu):
                used = kernels.assembled(ASSEMBLER, CODE, gpu)
                self.assertEqual(set(used), names)
                for name, usage in used.items():
                    most = 64 if gpu != "sm_75" else 128
                    self.assertEqual((usage.stack, min(usage.registers, most)), (0, usage.registers), name)

    def test_code_that_a_gpu_cannot_take_is_an_error_in_the_assemblers_words(self):
        self.needs_compiler()
        with self.assertRaisesRegex(kernels.CompileError, r"blend\.ptx on sm_90: .*blend\.ptx, line"):
            kernels.assembled(ASSEMBLER, CODE.replace("mul.rn.f32", "mul.rn.f33", 1), "sm_90")
        with self.assertRaisesRegex(kernels.CompileError, "sm_1"):
            kernels.assembled(ASSEMBLER, CODE, "sm_1")

    def test_drivers_since_2023_and_gpus_since_2016_take_it(self):
        """PTX 8.1 came with driver 530."""
        self.assertEqual(re.findall(r"^\.(version|target) (\S+)", CODE, re.M), [("version", "8.1"), ("target", "sm_60")])

    def test_a_source_that_is_wrong_is_an_error_in_the_compilers_words(self):
        with self.assertRaisesRegex(kernels.CompileError, r"(?s)blend\.cu: .*nobody"):
            self.compile(b"__device__ void f() { nobody; }")

    def test_a_compiler_that_is_missing_is_an_error_that_says_how_to_get_it(self):
        with self.assertRaisesRegex(kernels.CompileError, "make kernels"):
            kernels.compiled(ROOT / "scripts", b"")
        with self.assertRaisesRegex(kernels.CompileError, "make kernels"):
            kernels.assembled(ROOT / "scripts", CODE, "sm_90")


if __name__ == "__main__":
    unittest.main()

"""The CUDA provider of ONNX Runtime without a GPU: libraries that stand in for NVIDIA's tell what is asked of them. See
tests/cuda_stand_in/README.md for what that shows and what it cannot."""

import functools
import itertools
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cuda_stand_in"))

import stand_in
from support import NETWORKS, fetch, shout

PLUGIN_DIR = Path(os.environ.get("FACESR_PLUGIN_DIR", ""))
RUNTIME = fetch.cache_folder() / "providers" / stand_in.FOLDER
# Where the libraries are built.
LIBRARIES = Path()
# Seconds until a program counts as one that never ends.
LIMIT = 120
# In whole numbers, for processors: a few of its nodes stay there.
FOR_PROCESSORS = "facesr-live-x2-int8"
# Frames of a stream in which everything is still new: what is allocated once is allocated in these.
FIRST = 4
# A size at which a frame takes little time, and its bytes.
SMALL, SMALL_BYTES = "96x64", 96 * 64 * 3
# Frames of the clip with a face.
FACE_SIZE = (176, 144)
FACE_BYTES = 3 * FACE_SIZE[0] * FACE_SIZE[1]
STEADIED = "model=span-x2 execution-provider=cuda temporal-mode=balanced"
# With what a real library takes milliseconds for: handles, and plans of convolutions.
ALLOCATIONS = ("malloc", "free", "pin", "unpin", "stream", "handle", "plan")
# What is said of a GPU that others fill.
NO_MEMORY = "the GPU has too little memory free: see `nvidia-smi`, or lower memory-limit"


def obstacle() -> str:
    """Why none of this can be tested here; empty where it can."""
    if platform.machine() != "x86_64":
        return f"the CUDA provider is for x86_64, and this machine is {platform.machine()}"
    missing = [tool for tool in ("cc", "nm", "readelf", "gst-launch-1.0") if not shutil.which(tool)]
    return f"there is no {', '.join(missing)}" if missing else ""


def upscalers() -> dict:
    """Those that are fetched by default and those of this project, with their enlargements."""
    sidecars = {item.name: item.sidecar for item in NETWORKS if not item.opt_in}
    sidecars.update({name: Path(f"{path}.modelinfo") for name, path in fetch.trained_networks().items()})
    known = {name: fetch.read_modelinfo(sidecar)["modelinfo"] for name, sidecar in sidecars.items()}
    return {name: int(info["scale"]) for name, info in known.items() if info["role"] == "upscaler" and name != FOR_PROCESSORS}


class Stream:
    """What a pipeline said, and what happened on the device meanwhile."""

    def __init__(self, lines: list, log: list, memory: list):
        # Messages of GStreamer's own elements are of no interest.
        self.output = "".join(line for line in lines if not line.startswith("Got message"))
        self.errors = re.findall(r"^ERROR: from element \S*facesr0: (.*)$", self.output, re.M)
        self.said = [line for line in lines if "facesr-stats" in line]
        self.log, self.memory = log, memory

    def stat(self, name: str) -> str:
        """A field of the last statistics."""
        return re.search(rf"[ ,]{name}=\([^)]*\)(\"(?:[^\"\\]|\\.)*\"|<[^>]*>|[^,;]*)", self.said[-1])[1]

    def launches(self, *names: str) -> int:
        """How often kernels were launched."""
        return sum(line.number for line in self.log if line.what == "launches" and line.name in names)

    def behind(self, large: int, count: int) -> list:
        """The log between the copies of two large pictures of so many bytes to the host: number `count` and the last."""
        found = [at for at, line in enumerate(self.log) if (line.what, line.number) == ("d2h", large)]
        if len(found) <= count:
            raise AssertionError(f"{len(found)} large pictures came to the host, into pinned memory")
        return self.log[found[count - 1] + 1 : found[-1] + 1]


def setUpModule():
    """Builds the libraries once for all that follows."""
    global LIBRARIES
    trouble = obstacle()
    if trouble:
        raise unittest.SkipTest(shout(f"the CUDA provider without a GPU: {trouble}"))
    for needed, how in ((RUNTIME / stand_in.PROVIDER, "test-providers"), (PLUGIN_DIR / "libgstfacesr.so", "test-python")):
        if not needed.is_file():
            raise AssertionError(f"there is no {needed}: run `make {how}`")
    LIBRARIES = Path(tempfile.mkdtemp())
    unittest.addModuleCleanup(shutil.rmtree, LIBRARIES)
    stand_in.build(RUNTIME / stand_in.PROVIDER, LIBRARIES)


class Libraries(unittest.TestCase):
    """The stand-in itself, by what a small program sees of it."""

    def run_it(self, program: str, **settings) -> subprocess.CompletedProcess:
        """Runs lines of Python with the library as `cuda` and a pointer to memory of the device in `at`."""
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            asked = {f"FACESR_STAND_IN_{name}": str(value) for name, value in {"LOG": log, **settings}.items()}
            begin = (
                "from ctypes import *\n"
                f"cuda = CDLL({str(LIBRARIES / 'libcudart.so.13')!r})\n"
                "SIZE, MADE, TAKEN = 1000, b'picture' * 100, create_string_buffer(700)\n"
                "at = c_void_p()\n"
                "def malloc(): return cuda.cudaMalloc(byref(at), c_size_t(SIZE))\n"
                "def copy(to, source, way): return cuda.cudaMemcpy(to, source, c_size_t(700), way)\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", begin + program], env={**os.environ, **asked}, capture_output=True, text=True, timeout=LIMIT
            )
            self.log = [(line.what, line.number, line.name) for line in stand_in.read_log(log)] if log.exists() else []
        return done

    def told(self, program: str, **settings) -> str:
        done = self.run_it(program, **settings)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_copies_bring_back_what_they_took_and_are_told(self):
        self.assertEqual(self.told("print(malloc(), copy(at, MADE, 1), copy(TAKEN, at, 2), TAKEN.raw == MADE, cuda.cudaFree(at))"), "0 0 0 True 0")
        expected = [("malloc", 1024, ""), ("h2d_paged", 700, ""), ("wait", 0, ""), ("d2h_paged", 700, ""), ("wait", 0, ""), ("free", 1024, ""), ("most_held", 1024, "")]
        self.assertEqual([line for line in self.log if line[0] != "calls"], expected)
        self.assertIn(("calls", 2, "cudaMemcpy"), self.log)

    def test_memory_of_the_device_cannot_be_read_by_the_host(self):
        done = self.run_it("malloc()\nprint(string_at(at, 1))")
        self.assertEqual((done.returncode, done.stdout), (-signal.SIGSEGV, ""))

    def test_a_copy_that_goes_another_way_than_it_is_said_to_is_refused(self):
        self.assertEqual(self.told("print(malloc(), copy(at, MADE, 2), cuda.cudaGetLastError(), cuda.cudaGetLastError())"), "0 1 1 0")
        self.assertIn(("wrong_copy", 700, ""), self.log)

    def test_a_call_fails_from_the_one_on_that_was_named(self):
        self.assertEqual(self.told("print(malloc(), malloc(), malloc())", FAIL="cudaFree:1 cudaMallocHost:1 cudaMalloc:2"), "0 2 2")
        self.assertEqual(self.told("print(malloc(), malloc(), cuda.cudaFree(at))", FAIL="cudaMalloc:2:719"), "0 719 0")
        self.assertIn(("failed", 719, "cudaMalloc"), self.log)

    def test_memory_ends_and_comes_back_whole(self):
        fill = "SIZE = 300 << 10\nparts = [(malloc(), at.value)[1] for _ in range(3)]\nprint(malloc())\n"
        give = "print([cuda.cudaFree(c_void_p(part)) for part in parts[:2]])\nSIZE = 600 << 10\nprint(malloc())\n"
        left = "free, total = c_size_t(), c_size_t()\ncuda.cudaMemGetInfo(byref(free), byref(total))\nprint(free.value >> 10, total.value >> 10)"
        self.assertEqual(self.told(fill + give + left, MIB=1).splitlines(), ["2", "[0, 0]", "0", "124 1024"])

    def test_devices_and_drivers_are_those_that_were_asked_for(self):
        program = "n = c_int()\nprint(cuda.cudaGetDeviceCount(byref(n)), n.value, cuda.cudaSetDevice(1), malloc())"
        self.assertEqual(self.told(program), "0 1 101 0")
        self.assertEqual(self.told(program, DEVICES=2), "0 2 0 0")
        self.assertEqual(self.told(program, DEVICES=0), "100 0 100 100")
        self.assertEqual(self.told(program, DRIVER=12080), "35 0 35 35")

    def test_whoever_waits_for_a_stream_waits_for_the_simulated_time_that_is_left(self):
        """A copy of 700 bytes that takes 0.2 s: out of pinned memory it goes on beside the program, else it is waited for."""
        program = (
            "host = c_void_p()\nmalloc(); cuda.cudaHostAlloc(byref(host), c_size_t(700), 0)\n"
            "cuda.cudaMemcpyAsync(at, {}, c_size_t(700), 1, None); cuda.cudaStreamSynchronize(None)"
        )
        for source, waits_in_copy in (("host", False), ("MADE", True)):
            self.told(program.format(source), GB_PER_S=3e-6)
            waits = [number for what, number, _ in self.log if what == "wait"]
            # The wait for the stream is the last. Where the machine is busy there may be less to wait for.
            self.assertEqual([left > 0 for left in waits], [True, False] if waits_in_copy else [True])
            self.assertLessEqual(max(waits), 233_334)

    def test_a_provider_for_another_cuda_is_refused(self):
        with self.assertRaisesRegex(stand_in.StandInError, "libcudart.so.13"), tempfile.TemporaryDirectory() as folder:
            known = [library for library in stand_in.LIBRARIES if library.name != "libcudart.so.13"]
            with mock.patch.object(stand_in, "LIBRARIES", known):
                stand_in.build(RUNTIME / stand_in.PROVIDER, Path(folder))


class Provider(unittest.TestCase):
    """The element and the program, with the runtime's own provider and no GPU."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def environment(self, **settings) -> dict:
        surroundings = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        surroundings.update(stand_in.environment(LIBRARIES, RUNTIME / stand_in.RUNTIME))
        asked = {f"FACESR_STAND_IN_{name}": str(value) for name, value in settings.items()}
        registry = {"GST_REGISTRY": str(self.folder / "registry"), "GST_PLUGIN_PATH": str(PLUGIN_DIR)}
        return {**surroundings, **asked, **registry}

    def doctor(self, **settings) -> str:
        """What `facesr doctor` says of CUDA."""
        done = subprocess.run(
            [PLUGIN_DIR.parent / "facesr", "doctor"], env=self.environment(**settings), capture_output=True, text=True, timeout=LIMIT
        )
        (line,) = re.findall(r"^provider +cuda +(.*)$", done.stdout, re.M)
        return line

    def blended(self, size: str, factor: int, bits: int, mode: str, **settings) -> dict:
        return self.example("blend", size, str(factor), str(bits), mode, **settings)

    def example(self, *words: str, **settings) -> dict:
        """What examples/providers says."""
        done = subprocess.run([providers(), *words], env=self.environment(**settings), capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def stream(self, sizes: str, frames: int, properties: str, pixels: str = "RGB", **settings) -> Stream:
        """Runs so many frames of a moving ball in each size through the element, and notes its memory, in KiB, at each."""
        line = f"concat name=all ! facesr stats-interval=1 face-mode=off {properties} ! fakesink sync=false"
        for size in sizes.split():
            width, height = size.split("x")
            caps = f"video/x-raw,format={pixels},width={width},height={height},framerate=25/1"
            line += f" videotestsrc num-buffers={frames} pattern=ball ! {caps} ! all."
        return self.launched(line, **settings)

    def launched(self, line: str, **settings) -> Stream:
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        lines, memory = [], []
        with subprocess.Popen(
            ["gst-launch-1.0", "-m", *line.split()],
            env=self.environment(LOG=log, **settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:
            watch = threading.Timer(LIMIT, process.kill)
            watch.start()
            for text in process.stdout:
                lines.append(text)
                if "facesr-stats" in text:
                    memory.append(anonymous_kib(process.pid))
            watch.cancel()
        return Stream(lines, stand_in.read_log(log) if log.exists() else [], [kib for kib in memory if kib])

    def runs(self, *arguments, **settings) -> Stream:
        return self.right(self.stream(*arguments, **settings))

    def right(self, stream: Stream) -> Stream:
        self.assertTrue(stream.said and not stream.errors, stream.output)
        wrong = [line for line in stream.log if line.what in ("wrong_copy", "wrong_free", "wrong_stream", "unknown_kernel", "no_room")]
        self.assertEqual(wrong, [])
        return stream

    def test_doctor_says_that_a_gpu_works(self):
        self.assertEqual(self.doctor(), "works")

    def test_doctor_says_in_a_line_of_the_users_words_why_a_gpu_does_not_work(self):
        for settings, expected in (
            ({"DEVICES": 0}, "the NVIDIA driver shows no GPU"),
            ({"DRIVER": 12080}, "the NVIDIA driver is too old for this ONNX Runtime"),
            ({"FAIL": "cudaGetDeviceCount:1"}, "the NVIDIA driver shows no GPU"),
            ({"FAIL": "cudaMalloc:2"}, NO_MEMORY),
            ({"FAIL": "cudnnCreate:1"}, "CUDNN failure 4000: CUDNN_STATUS_ALLOC_FAILED, see `nvidia-smi`"),
            ({"FAIL": "cudnnBackendExecute:1"}, "CUDNN_FE failure"),
            ({"FAIL": "cublasSgeam:1"}, "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED, see `nvidia-smi`"),
            ({"FAIL": "cudaMemcpyAsync:1"}, "CUDA failure 1: invalid argument, see `nvidia-smi`"),
            ({"FAIL": "cudaStreamSynchronize:1:719"}, "CUDA failure 719: unspecified launch failure, see `nvidia-smi`"),
            ({"FAIL": "cudaLaunchKernel:1"}, "CUDA error cudaErrorLaunchFailure:unspecified launch failure, see `nvidia-smi`"),
        ):
            with self.subTest(settings=settings):
                said = self.doctor(**settings)
                self.assertTrue(said.startswith("no: "), said)
                self.assertIn(expected, said)
                self.assertNotRegex(said, r"onnxruntime_src|\.cc\b|hostname|is no upscaler")

    def test_every_node_of_every_upscaler_is_on_the_gpu_and_so_is_the_large_picture(self):
        for (model, scale), precision in itertools.product(upscalers().items(), ("fp32", "fp16")):
            with self.subTest(model=model, precision=precision):
                stream = self.runs(SMALL, 3, f"model={model} execution-provider=cuda precision={precision}")
                # Nodes elsewhere would stand behind it.
                self.assertEqual(stream.stat("provider"), "cuda")
                self.assertEqual((stream.stat("large-picture"), stream.stat("fallbacks")), ("device", "<  >"))
                large = [line for line in stream.log if (line.what, line.number) == ("d2h", SMALL_BYTES * scale**2)]
                self.assertEqual(len(large), 3)
                # Trials of small pictures come before the three frames.
                launches = [line.number for line in stream.log if line.what == "launches"]
                self.assertGreater(sum(launches), 3 * len(launches))

    def test_a_frame_brings_one_large_picture_to_the_host_and_takes_none_to_the_device(self):
        for width, height in ((1280, 720), (1920, 1080)):
            with self.subTest(height=height):
                frames, small = 6, width * height * 3
                stream = self.runs(f"{width}x{height}", frames, STEADIED)
                self.assertEqual(stream.stat("large-picture"), "device")
                copies = stream.behind(4 * small, 1)
                # Pictures come into memory that is pinned, or a driver would copy them twice. The rest is the sum that tells a NaN.
                self.assertEqual([line.number for line in copies if line.what == "d2h"], [4 * small] * (frames - 1))
                self.assertEqual([line.number for line in copies if line.what == "d2h_paged"], [4] * (frames - 1))
                # The next input and four maps of its size, each by one copy and out of memory that is pinned.
                taken = [line.number for line in copies if line.what.startswith("h2d") and line.number > 1000]
                self.assertEqual(sorted(taken), sorted([small, 16 * width * height] * (frames - 1)))
                self.assertEqual([line for line in copies if line.what == "h2d_paged" and line.number > 1000], [])

    def test_our_kernels_make_what_the_processor_does_to_the_bit(self):
        """Whatever moves, in pictures whose last blocks reach out of them; columns that nobody is to read hold no numbers."""
        sizes = (("64x48", 2), ("33x17", 3), ("7x2", 2), ("1x5", 1), ("50x41", 4), ("1x1", 2))
        for (size, factor), bits, mode in itertools.product(sizes, (8, 16), ("balanced", "quality")):
            with self.subTest(size=size, bits=bits, mode=mode):
                self.assertEqual(self.blended(size, factor, bits, mode)["worst"], 0.0)

    def test_channels_that_lie_together_leave_every_node_on_the_gpu(self):
        for model, precision in itertools.product(upscalers(), ("fp32", "fp16")):
            with self.subTest(model=model, precision=precision):
                self.assertEqual(self.example("nodes", model, f"cuda:{precision}:nhwc")["describe"], "cuda")

    def test_kernels_that_are_wrong_are_told_by_how_much(self):
        for mode in ("balanced", "quality"):
            self.assertAlmostEqual(self.blended("33x17", 2, 8, mode, OFF_BY=3)["worst"], 3.0, places=3)

    def test_kernels_that_are_wrong_or_cannot_be_had_are_not_used_and_the_reason_is_told(self):
        for settings, expected in (
            ({"OFF_BY": 2}, "they differ by up to 2"),
            ({"FAIL": "cuInit:1"}, "the NVIDIA driver says: "),
            ({"FAIL": "cuDevicePrimaryCtxRetain:1"}, NO_MEMORY),
            ({"FAIL": "cuModuleLoadData:1"}, "the NVIDIA driver says: device kernel image is invalid"),
            ({"FAIL": "cuModuleGetFunction:1"}, "the NVIDIA driver says: named symbol not found"),
            ({"FAIL": "cuLaunchKernel:1"}, "the NVIDIA driver says: unspecified launch failure"),
        ):
            with self.subTest(settings=settings):
                stream = self.runs(SMALL, 3, STEADIED, **settings)
                self.assertEqual(stream.stat("large-picture"), "device")
                self.assertRegex(stream.stat("fallbacks").replace("\\", ""), f"blended by ONNX Runtime's operators, .*: .*{expected}")
                self.assertNotIn("onnxruntime_src", stream.output)
                self.assertLessEqual(stream.stat("fallbacks").count("see `nvidia-smi`"), 1)
                self.assertLessEqual(stream.launches("facesr_blend_8"), 1)

    def test_a_steadied_frame_is_blended_by_one_kernel_and_with_a_guard_by_two(self):
        frames = 10
        # With the trials of them: an element loads its network for 8 bits first.
        for mode, bits, names in (
            ("balanced", 8, {"facesr_blend_8": 1}), ("quality", 8, {"facesr_differ": 1, "facesr_guard_8": 1}),
            ("balanced", 16, {"facesr_blend_16": 1}), ("quality", 16, {"facesr_differ": 2, "facesr_guard_16": 1}),
        ):
            with self.subTest(mode=mode, bits=bits):
                pixels = "RGB" if bits == 8 else "I420_10LE"
                stream = self.runs(SMALL, frames, f"model=span-x2 execution-provider=cuda temporal-mode={mode}", pixels)
                self.assertEqual(stream.stat("fallbacks"), "<  >")
                # The first frame has no past.
                self.assertEqual({name: stream.launches(name) for name in names}, {name: frames - 1 + trials for name, trials in names.items()})

    def with_a_face(self, properties: str, **settings) -> Stream:
        """Runs a dozen frames of a clip in which the processor finds a face, for a GPU that computes nothing finds none."""
        raw = self.folder / "faces"
        if not raw.exists():
            clip = fetch.cache_folder() / "media/carphone_pristine.mp4"
            line = f"gst-launch-1.0 -q filesrc location={clip} ! decodebin ! videoconvert ! video/x-raw,format=RGB ! filesink location={raw}"
            subprocess.run(line.split(), check=True)
            os.truncate(raw, 12 * FACE_BYTES)
        frames = f"filesrc location={raw} ! rawvideoparse width={FACE_SIZE[0]} height={FACE_SIZE[1]} format=rgb framerate=25/1"
        finding = "facesr name=finder scale=1 execution-provider=cpu temporal-mode=off face-mode=detect"
        restoring = f"facesr stats-interval=1 face-source=meta {STEADIED} {properties}"
        return self.launched(f"{frames} ! {finding} ! {restoring} ! fakesink", **settings)

    def test_faces_are_restored_on_the_gpu_beside_a_picture_that_stays_there(self):
        large = 4 * FACE_BYTES
        for flying in (0, 2):
            with self.subTest(flying=flying):
                stream = self.right(self.with_a_face(f"frames-in-flight={flying}"))
                self.assertEqual((stream.stat("large-picture"), stream.stat("fallbacks")), ("device", "<  >"))
                counts = [int(re.search(rf"{name}\W+guint64\W+(\d+)", stream.stat("faces"))[1]) for name in ("restored", "failed")]
                self.assertEqual(counts, [12, 0])
                # One crop for the restorer and one back, of 256x256 at most in floats.
                copies = [line for line in stream.behind(large, FIRST) if line.what.startswith(("h2d", "d2h"))]
                self.assertEqual([line for line in copies if line.number > large and line.number > 4 * 3 * 256**2], [])

    def test_a_restorer_that_fails_on_the_gpu_is_told_in_a_line_and_the_frame_goes_on_without_it(self):
        (calls,) = [line.number for line in self.right(self.with_a_face("")).log if (line.what, line.name) == ("calls", "cudnnBackendExecute")]
        # The restorer has the last ones of a frame, more than these.
        stream = self.with_a_face("", FAIL=f"cudnnBackendExecute:{calls - 10}")
        told = "face restorer facesr-face-256 failed, .*: model facesr-face-256 failed on .*: CUDNN_FE failure.*, see `nvidia-smi`$"
        self.assertEqual(len(re.findall(f"^WARNING: .*{told}", stream.output, re.M)), 1, stream.output)
        self.assertEqual(stream.errors, [])
        self.assertRegex(stream.stat("faces"), r"failed\W+guint64\W+1\b")

    def test_faces_are_looked_for_without_a_new_plan_or_anything_else_new(self):
        """In a small picture at one size, in a large one at two; on whatever thread that is."""
        for (size, bytes_), flying in itertools.product(((SMALL, SMALL_BYTES), ("1280x720", 1280 * 720 * 3)), (0, 1)):
            with self.subTest(size=size, flying=flying):
                # The ball is no face, so each frame is looked at.
                stream = self.runs(size, 24, f"{STEADIED} face-mode=auto frames-in-flight={flying}")
                self.assertIn("facesr-face-256", stream.stat("faces"))
                late = [line for line in stream.behind(4 * bytes_, 12) if line.what in ALLOCATIONS]
                self.assertEqual(late, [])

    def test_streams_of_several_sizes_share_a_network_and_none_of_them_waits_for_new_plans(self):
        frames = 12
        branch = "videotestsrc num-buffers={} pattern=ball ! video/x-raw,format=RGB,width={},height={} ! facesr stats-interval=1 face-mode=off {} ! fakesink"
        sizes = ((96, 64), (80, 48), (64, 48))
        stream = self.right(self.launched(" ".join(branch.format(frames, *size, STEADIED) for size in sizes)))
        # All are at work by then.
        late = [line for line in stream.behind(4 * SMALL_BYTES, frames // 2) if line.what == "plan"]
        self.assertEqual(late, [])

    def test_halves_are_multiplied_by_tensor_cores_and_floats_are_not(self):
        """Where cuDNN has engines for tensor cores alone, it is asked again for a network in 32 bits, which they would round."""
        for model, precision in itertools.product(upscalers(), ("fp32", "fp16")):
            with self.subTest(model=model, precision=precision):
                asked = []
                for tensor_cores in (0, 1):
                    stream = self.runs(SMALL, 2, f"model={model} execution-provider=cuda precision={precision}", TENSOR_CORES=tensor_cores)
                    asked += [line.number for line in stream.log if (line.what, line.name) == ("calls", "cudnnBackendFinalize")]
                self.assertEqual(asked[1] > asked[0], precision == "fp32", asked)

    def test_frames_in_flight_allocate_nothing_on_the_gpu_either(self):
        for flying in (1, 3):
            with self.subTest(flying=flying):
                stream = self.runs(SMALL, 60, f"{STEADIED} frames-in-flight={flying}")
                # It may take a while until as many were there at the same time as ever will be.
                late = [line for line in stream.behind(4 * SMALL_BYTES, 40) if line.what in ALLOCATIONS]
                self.assertEqual(late, [])

    def test_frames_allocate_nothing_on_the_gpu_and_leave_nothing_in_memory(self):
        frames = 400
        stream = self.runs(SMALL, frames, STEADIED)
        self.assertEqual(stream.stat("frames"), str(frames))
        made = [line for line in stream.behind(4 * SMALL_BYTES, FIRST) if line.what in ALLOCATIONS]
        self.assertEqual(made, [])
        # All is given back in the end.
        counts = [sum(line.what == what for line in stream.log) for what in ("malloc", "free", "pin", "unpin")]
        self.assertEqual(counts[::2], counts[1::2])
        quarter = len(stream.memory) // 4
        self.assertGreater(quarter, 10, "too few figures")
        before, after = (sorted(part)[quarter // 2] for part in (stream.memory[quarter : 2 * quarter], stream.memory[-quarter:]))
        # Half of the figures lie between the two: 1.3 KB a frame would be more, and it is about 10 KiB in all.
        self.assertLess(after - before, 256, f"KiB: {stream.memory[::20]}")

    def test_sizes_that_change_keep_no_memory_of_the_gpu(self):
        frames, changes = 4, 6
        stream = self.runs(f"{SMALL} 80x48 " * changes, frames, STEADIED)
        held, at_picture = 0, []
        for line in stream.log:
            held += {"malloc": line.number, "free": -line.number}.get(line.what, 0)
            if (line.what, line.number) == ("d2h", 4 * SMALL_BYTES):
                at_picture.append(held)
        at_last = at_picture[frames - 1 :: frames]
        self.assertEqual(len(at_last), changes)
        # The runtime's arena is cut up otherwise once it held another size.
        self.assertEqual(at_last[1:], [at_last[1]] * (changes - 1))

    def test_a_frame_waits_for_the_gpu_as_often_as_something_is_run_and_never_for_all_of_it(self):
        frames = 12
        times = {"CONVOLUTION_US": 1000, "KERNEL_US": 20, "GB_PER_S": 12}
        stream = self.runs(SMALL, frames, f"{STEADIED} frames-in-flight=1", **times)
        waits = [line.number for line in stream.behind(4 * SMALL_BYTES, FIRST) if line.what == "wait" and line.number > 0]
        # For the maps, the network, whose sum is looked at, the blend and the finished picture.
        self.assertLessEqual(len(waits), 4 * (frames - FIRST), waits)
        self.assertTrue(waits, "nothing took any time")
        self.assertNotIn("device_wait", [line.what for line in stream.behind(4 * SMALL_BYTES, FIRST)])

    def test_with_frames_in_flight_the_gpu_is_at_the_next_frame_while_a_finished_one_comes_to_the_host(self):
        """A picture is on its way for 150 ms; the network is begun, and its sum asked for, before it is there."""
        for flying, is_beside in ((0, False), (1, True), (3, True)):
            with self.subTest(flying=flying):
                properties = f"{STEADIED.replace('span-x2', 'facesr-live-x2')} frames-in-flight={flying}"
                stream = self.runs(SMALL, 10, properties, GB_PER_S=4 * SMALL_BYTES / 150e6)
                frames = 10
                large = [at for at, line in enumerate(stream.log) if (line.what, line.number) == ("d2h", 4 * SMALL_BYTES)]
                sums = [at for at, line in enumerate(stream.log) if (line.what, line.number) == ("d2h_paged", 4)]
                self.assertEqual(len(large), frames)
                # The second picture: of the first ones nothing is past yet.
                there = next(at for at, line in enumerate(stream.log) if at > large[1] and line.what == "wait" and line.number > 100e3)
                # Trials of the network ask for sums before all frames.
                begun = sum(at < there for at in sums) - (len(sums) - frames)
                self.assertEqual(begun > 2, is_beside, f"{begun} begun")

    def test_a_gpu_without_memory_is_left_by_auto_with_the_reason(self):
        stream = self.runs("64x48", 3, "model=facesr-live-x2 execution-provider=auto", FAIL="cudaMalloc:2")
        self.assertNotEqual(stream.stat("provider"), "cuda")
        self.assertIn("cuda: the GPU has too little memory free", stream.stat("fallbacks").replace("\\", ""))

    def test_a_gpu_without_memory_is_an_error_in_one_line_where_it_was_asked_for(self):
        for settings in ({"FAIL": "cudaMalloc:2"}, {"MIB": 0.01}):
            with self.subTest(settings=settings):
                stream = self.stream("64x48", 3, "model=span-x2 execution-provider=cuda", **settings)
                self.assertEqual(len(stream.errors), 1, stream.output)
                self.assertIn("too little memory free", stream.errors[0])
                self.assertNotIn("onnxruntime_src", stream.output)

    def test_a_call_that_fails_in_the_middle_of_a_stream_ends_it_with_one_line(self):
        calls = (
            ("cudnnBackendExecute:500", "CUDNN_FE failure"),
            ("cudaStreamSynchronize:300:719", "CUDA failure 719"),
            ("cudaLaunchKernel:1000", "CUDA (failure|error) "),
            ("cuLaunchKernel:10", "the NVIDIA driver says: unspecified launch failure"),
        )
        for (call, expected), flying in itertools.product(calls, (0, 1, 3)):
            with self.subTest(call=call, flying=flying):
                stream = self.stream(SMALL, 40, f"{STEADIED} frames-in-flight={flying}", FAIL=call)
                self.assertTrue(stream.said, "it failed before the first frame")
                (error,) = stream.errors
                self.assertRegex(error, f"^model [a-z0-9-]+ failed on a picture of [0-9x]+: {expected}.*, see `nvidia-smi`$")
                self.assertNotIn("onnxruntime_src", stream.output)

    def test_a_picture_that_does_not_fit_is_made_on_the_host_with_the_reason(self):
        """Half of the GPU's memory holds no run over the whole frame."""
        stream = self.runs("640x360", 3, STEADIED, MIB=800)
        self.assertEqual((stream.stat("provider"), stream.stat("large-picture")), ("cuda", "host"))
        self.assertIn("memory-limit", stream.stat("fallbacks"))
        held = [line.number for line in stream.log if line.what == "most_held"]
        # The limit is kept about: weights and what the runtime rounds up come on top.
        self.assertLess(held[0], 1.1 * (800 << 20) / 2)


@functools.lru_cache(maxsize=None)
def providers() -> Path:
    """The example of that name, built."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "--example", "providers"], cwd=ROOT, check=True)
    return PLUGIN_DIR.parent / "examples/providers"


def anonymous_kib(process: int) -> int:
    """What a process holds that is in no file; 0 where it has ended."""
    try:
        return int(re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{process}/status").read_text(), re.M)[1])
    except (OSError, TypeError):
        return 0


if __name__ == "__main__":
    unittest.main()

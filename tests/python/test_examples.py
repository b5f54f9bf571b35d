"""The examples in Python: what they say to Prometheus, and what to somebody who calls them wrongly."""

import importlib.util
import re
import subprocess
import sys
import unittest
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def loaded(name: str):
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stats(frames: int, model: str) -> dict:
    return {
        "frames": frames,
        "repeated": 1,
        "tiles": 2 * frames,
        "tiles-left-out": 0,
        "model": model,
        "efforts": {"full": frames - 3, "resampled": 3},
        "stages-ms": {"upscale": 12.5, "blend": 1.0},
        "faces": {"mean": 0.5},
        "fallbacks": ["one"],
        "users": 2,
    }


class Exporter(unittest.TestCase):
    def setUp(self):
        self.exporter = loaded("metrics-exporter")

    def test_every_line_is_one_that_prometheus_reads(self):
        text = self.exporter.exposition({"a": stats(10, "span-x2"), "b": stats(20, 'odd"\\name\n')})
        self.assertTrue(text.endswith("\n"))
        sample = re.compile(r'[a-z_]+\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\} [0-9.]+')
        for line in text.splitlines():
            is_comment = re.fullmatch(r"# (HELP facesr_\w+ .+\.|TYPE facesr_\w+ (counter|gauge))", line)
            self.assertTrue(is_comment or sample.fullmatch(line), line)
        counters = re.findall(r"# TYPE (\w+) counter", text)
        self.assertTrue(counters and all(name.endswith("_total") for name in counters), counters)

    def test_numbers_are_those_of_the_elements_in_seconds_and_frames(self):
        text = self.exporter.exposition({"a": stats(10, "span-x2"), "b": stats(20, "span-x4")})
        for line in (
            'facesr_frames_total{element="a",model="span-x2"} 10',
            'facesr_frames_total{element="b",model="span-x4"} 20',
            'facesr_effort_frames_total{element="b",model="span-x4",effort="resampled"} 3',
            'facesr_stage_seconds{element="a",model="span-x2",stage="upscale"} 0.0125',
            'facesr_fallbacks{element="a",model="span-x2"} 1',
        ):
            self.assertIn(line + "\n", text)

    def test_without_elements_there_are_families_and_no_samples(self):
        lines = self.exporter.exposition({}).splitlines()
        self.assertTrue(lines and all(line.startswith("# ") for line in lines))


class Calls(unittest.TestCase):
    def test_wrong_calls_end_with_one_line_that_says_what_is_wrong(self):
        for script, arguments, said in (
            ("rtsp-server.py", ["--file", "/no/such/file.mkv"], "/no/such/file.mkv"),
            ("rtsp-server.py", ["--port", "many"], "--port"),
            ("metrics-exporter.py", ["--port", "many", "x"], "--port"),
        ):
            command = [sys.executable, EXAMPLES / script, *arguments]
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertNotEqual(done.returncode, 0)
            lines = [line for line in done.stderr.splitlines() if not line.startswith(("usage:", " "))]
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn(said, lines[0])


if __name__ == "__main__":
    unittest.main()

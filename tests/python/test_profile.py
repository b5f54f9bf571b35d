"""scripts/profile.py: what it reads, the table it makes, and that the page has it whole."""

import json
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

# The standard library has a module of that name: ours is found first by the line above.
sys.modules.pop("profile", None)
import profile


def told(**changed) -> dict:
    """What the tool says of a row."""
    stages = {stage: float(2**at) for at, stage in enumerate(profile.STAGES)}
    whole = {"model": "span-x2", "provider": "cpu", "frames": 20, "frame": sum(stages.values()), "beside": 3.5}
    return {**whole, "stages": stages, "restored": 1.0, "bare": 100.0, **changed}


def cells(text: str) -> dict:
    """The cells of a Markdown table by the word that their row begins with."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines}


class Profile(unittest.TestCase):
    def test_a_table_has_every_stage_of_every_row_and_shares_that_add_up(self):
        for count in range(1, 8):
            rows = [(f"row {at}", profile.read(json.dumps(told(frames=at)))) for at in range(count)]
            found = cells(profile.table(rows))
            self.assertEqual(len(found["stage"]), count)
            for at in range(count):
                shares = [float(found[stage][at].split(", ")[1].removesuffix(" %")) for stage in profile.STAGES]
                times = [float(found[stage][at].split(", ")[0]) for stage in profile.STAGES]
                self.assertAlmostEqual(sum(shares), 100, delta=0.05 * len(shares))
                self.assertAlmostEqual(sum(times), float(found["**frame**"][at]), delta=0.05 * len(times))
                self.assertEqual(found["frames"][at], str(at))
                self.assertEqual(found["bare session"][at], f"100.0, {100 * 100 / told()['frame']:.1f} %")

    def test_what_is_not_whole_is_refused_in_one_line(self):
        lacking = told()
        del lacking["stages"]["blend"]
        more = told()
        more["stages"]["paint"] = 1.0
        for line, saying in (
            ("", "no JSON"),
            ("thread panicked", "no JSON"),
            (json.dumps(lacking), "blend"),
            (json.dumps(more), "paint"),
            (json.dumps({"model": "span-x2"}), "frame"),
        ):
            with self.assertRaises(profile.Trouble) as caught:
                profile.read(line)
            self.assertIn(saying, str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))

    def test_a_frame_that_takes_no_time_has_no_shares(self):
        nothing = told(frame=0.0, stages=dict.fromkeys(profile.STAGES, 0.0))
        self.assertEqual(cells(profile.table([("row", nothing)]))["upscale"], ["0.0, 0.0 %"])

    def test_the_page_has_every_row_and_every_stage_and_says_when_and_where(self):
        page = profile.PAGE.read_text()
        part = page.split(profile.BEGIN)[1].split(profile.END)[0]
        found = cells(part)
        for stage in profile.STAGES:
            self.assertEqual(len(found[stage]), len(profile.ROWS), stage)
            self.assertIn(f"`{stage}`", page.replace(part, ""), "how to read it")
        for (name, *_), head in zip(profile.ROWS, found["stage"], strict=True):
            self.assertTrue(head.startswith(f"{name}: "), head)
        self.assertRegex(part, r"20\d\d-\d\d-\d\d, .+, \d+ cores")

    def test_only_what_is_between_the_marks_is_renewed(self):
        page = f"before\n{profile.BEGIN}\nold\n{profile.END}\nafter\n"
        once = profile.renewed(page, "new")
        self.assertTrue(once.startswith("before\n") and once.endswith("\nafter\n") and "new" in once)
        self.assertNotIn("old", once)
        self.assertEqual(profile.renewed(once, "new"), once)
        for broken in ("nothing", page + page, profile.BEGIN):
            with self.assertRaises(profile.Trouble):
                profile.renewed(broken, "new")

    def test_stacks_of_perf_are_counted_from_the_outermost_function(self):
        sample = (
            "facesr:src 4242 77.5:     100 cpu-clock:\n"
            "\t    55d0c1 inner<a; b>+0x1f (/usr/lib/libx.so (deleted))\n"
            "\t    55d0c2 outer+0x2 (/usr/lib/libx.so)\n\n"
        )
        other = "main 1/2 77.6: 100 cycles:\n\t  7f [unknown] ([unknown])\n"
        found = profile.collapse(sample + sample + other)
        self.assertEqual(sum(found.values()), 3)
        self.assertEqual(found["main;[unknown]"], 1)
        (stack,) = [stack for stack in found if stack.startswith("facesr:src;outer;")]
        self.assertEqual(found[stack], 2)
        self.assertEqual(profile.collapse(""), {})


if __name__ == "__main__":
    unittest.main()

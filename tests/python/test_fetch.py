"""fetch.py: right bytes or nothing, and nothing twice."""

import contextlib
import errno
import hashlib
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import support
from support import fetch

CLIPS = {"one.mp4": b"first clip", "two.mp4": b"second clip" * 1000}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.cache = self.folder / "cache"
        self.downloads = 0
        self.trained = self.folder / "trained"
        self.trained.mkdir()
        self.wheel = self.folder / "clips-1.0-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            for name, data in CLIPS.items():
                archive.writestr(f"clips/{name}", data)
        self.table = {
            "packages": {
                "clips": {
                    "version": "1.0",
                    "licence": "ours",
                    "machines": {"any": {"wheel": sha256(self.wheel.read_bytes())}},
                }
            },
            "items": {
                "clips": {
                    "kind": "media",
                    "package": "clips",
                    "used-for": "testing",
                    "members": {
                        name: {"path": f"clips/{name}", "sha256": {"any": sha256(data)}} for name, data in CLIPS.items()
                    },
                }
            },
        }

    def download(self, item, row, folder):
        self.downloads += 1
        return Path(shutil.copy(self.wheel, folder))

    def items(self) -> list:
        path = self.folder / "packages.json"
        path.write_text(json.dumps(self.table))
        return list(fetch.read_table(path).values())

    def fetch(self):
        with contextlib.redirect_stdout(io.StringIO()):
            fetch.fetch(self.items(), self.cache, "any", self.download)

    def left(self) -> set:
        """Every file in the cache, by its path."""
        return {str(path.relative_to(self.cache)) for path in self.cache.rglob("*") if path.is_file()}

    def refuses(self, saying: str):
        with self.assertRaises(fetch.FetchError) as caught:
            self.fetch()
        self.assertIn(saying, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))
        self.assertEqual(list(self.cache.glob("**/*")), [])

    def run_main(self, *arguments, download=None) -> tuple:
        """Exit status, stdout and stderr of the program, with our table and a stubbed download."""
        items = {item.name: item for item in self.items()}
        output, error = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(fetch, "read_table", lambda: items))
            find = fetch.trained_networks
            stack.enter_context(mock.patch.object(fetch, "trained_networks", lambda: find(self.trained)))
            original = fetch.fetch
            chosen = download or self.download
            stack.enter_context(mock.patch.object(fetch, "fetch", lambda *given: original(*given, chosen)))
            stack.enter_context(mock.patch.object(sys, "argv", ["fetch.py", "--cache", str(self.cache), *arguments]))
            stack.enter_context(contextlib.redirect_stdout(output))
            stack.enter_context(contextlib.redirect_stderr(error))
            before = signal.getsignal(signal.SIGTERM)
            try:
                status = fetch.main()
            finally:
                signal.signal(signal.SIGTERM, before)
        return status, output.getvalue(), error.getvalue()

    def test_the_files_arrive_and_nothing_else_stays(self):
        self.fetch()
        self.assertEqual(self.left(), {"media/one.mp4", "media/two.mp4"})
        for name, data in CLIPS.items():
            self.assertEqual((self.cache / "media" / name).read_bytes(), data)

    def test_a_second_run_downloads_nothing_and_says_so_in_one_line(self):
        self.assertEqual(self.run_main()[0], 0)
        status, output, error = self.run_main()
        self.assertEqual((status, self.downloads, error), (0, 1, ""))
        self.assertEqual(output.count("\n"), 1)
        self.assertIn("all there already", output)

    def train(self, data: bytes, said: str = "") -> None:
        (self.trained / "ours.onnx").write_bytes(data)
        about = f"[modelinfo]\nlicence=ours\nsha256={said or sha256(data)}\n"
        (self.trained / "ours.onnx.modelinfo").write_text(about)

    def test_networks_of_our_own_are_placed_once_and_again_when_they_change(self):
        for data in (b"one", b"another"):
            self.train(data)
            self.assertIn("ours now in", self.run_main()[1].replace("clips, ", ""))
            self.assertEqual((self.cache / "models/ours.onnx").read_bytes(), data)
            self.assertIn("all there already", self.run_main()[1])
        self.assertEqual(self.downloads, 1)
        self.assertIn("there     trained by this project. Licence: ours", self.run_main("--list")[1])

    def test_networks_of_our_own_are_asked_for_by_name(self):
        self.train(b"one")
        self.assertEqual(self.run_main("--only", "ours")[0], 0)
        self.assertEqual(self.left(), {"models/ours.onnx", "models/ours.onnx.modelinfo"})
        self.assertIn("ours", self.run_main("--only", "theirs")[2])

    def test_a_network_of_our_own_that_is_not_what_its_sidecar_says_is_refused(self):
        self.train(b"one", said="0" * 64)
        status, _, error = self.run_main("--only", "ours")
        self.assertEqual((status, self.left()), (1, set()))
        self.assertIn("ours.onnx is not the expected one", error)

    def test_a_damaged_file_is_fetched_again(self):
        self.fetch()
        (self.cache / "media/one.mp4").write_bytes(b"damaged")
        self.assertEqual(self.run_main()[0], 0)
        self.assertEqual(self.downloads, 2)
        self.assertEqual((self.cache / "media/one.mp4").read_bytes(), CLIPS["one.mp4"])

    def test_a_package_with_a_wrong_digest_is_refused(self):
        with zipfile.ZipFile(self.wheel, "a") as archive:
            archive.writestr("clips/more", b"")
        self.refuses("the package clips-1.0-py3-none-any.whl is not the expected one")

    def test_a_member_with_a_wrong_digest_is_refused_before_anything_is_kept(self):
        self.table["items"]["clips"]["members"]["two.mp4"]["sha256"]["any"] = "0" * 64
        self.refuses("clips/two.mp4 in clips-1.0-py3-none-any.whl is not the expected one")

    def test_a_package_without_the_member_is_refused(self):
        self.table["items"]["clips"]["members"]["two.mp4"]["path"] = "clips/three.mp4"
        self.refuses("does not hold clips/three.mp4")

    def test_a_machine_nothing_is_pinned_for_is_told_so(self):
        machines = self.table["packages"]["clips"]["machines"]
        machines["vax"] = machines.pop("any")
        for member in self.table["items"]["clips"]["members"].values():
            member["sha256"]["vax"] = member["sha256"].pop("any")
        status, _, error = self.run_main()
        self.assertEqual(status, 1)
        self.assertIn(f"no clips is pinned for {platform.machine()}", error)

    def test_an_interruption_anywhere_leaves_whole_files_only(self):
        writes = len(CLIPS)
        for survived in range(writes):
            for moment in ("before", "half-way"):
                shutil.rmtree(self.cache, ignore_errors=True)
                self.interrupt(survived, moment)
                self.assertEqual(len(self.left()), survived)
                for name in self.left():
                    self.assertEqual((self.cache / name).read_bytes(), CLIPS[Path(name).name])
        self.fetch()
        self.assertEqual(len(self.left()), writes)

    def interrupt(self, survived: int, moment: str):
        """Fetches, and is interrupted at the write after the first `survived` ones."""
        original, calls = fetch._write, []

        def write(path, data, work):
            calls.append(path)
            if len(calls) > survived:
                if moment == "half-way":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with mock.patch.object(os, "replace", side_effect=KeyboardInterrupt):
                        original(path, data, work)
                raise KeyboardInterrupt
            original(path, data, work)

        with mock.patch.object(fetch, "_write", write), self.assertRaises(KeyboardInterrupt):
            self.fetch()

    def test_what_a_killed_run_left_is_swept_and_a_running_one_is_not_disturbed(self):
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        for number in (ended.pid, os.getpid()):
            folder = self.cache / f"{fetch.WORK_PREFIX}{number}-abc"
            folder.mkdir(parents=True)
            (folder / "unfinished").write_bytes(b"half")
        self.fetch()
        kept = [path.name for path in self.cache.glob(f"{fetch.WORK_PREFIX}*")]
        self.assertEqual(kept, [f"{fetch.WORK_PREFIX}{os.getpid()}-abc"])

    def test_a_request_to_end_cleans_up(self):
        waiting = self.folder / "waiting"
        program = (
            "import sys, time, pathlib\n"
            "_, models, cache, waiting = sys.argv\n"
            "sys.path.insert(0, models); import fetch\n"
            "def wait(item, row, folder):\n"
            "    (folder / 'piece').write_bytes(b'x'); pathlib.Path(waiting).touch(); time.sleep(60)\n"
            "fetch.fetch.__defaults__ = (wait,)\n"
            "sys.argv = ['fetch.py', '--cache', cache, '--only', 'carphone']\n"
            "sys.exit(fetch.main())\n"
        )
        command = [sys.executable, "-c", program, str(support.MODELS), str(self.cache), str(waiting)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            if waiting.exists():
                break
            time.sleep(0.05)
        self.assertTrue(waiting.exists(), "the program never got to its download")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 1)
        self.assertEqual(list(self.cache.glob("*")), [])

    def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(self):
        full = OSError(errno.ENOSPC, "No space left on device")
        with mock.patch.object(os, "fsync", side_effect=full):
            status, _, error = self.run_main()
        self.assertEqual((status, error.count("\n")), (1, 1))
        self.assertIn("no space is left", error)
        self.assertIn("--cache", error)
        self.assertEqual(self.left(), set())

    def test_a_folder_that_cannot_be_made_is_said_in_one_line(self):
        self.cache.write_bytes(b"a file is in the way")
        status, _, error = self.run_main()
        self.assertEqual((status, error.count("\n")), (1, 1))
        self.assertIn("choose another folder with --cache", error)

    def test_a_package_that_cannot_be_downloaded_is_said_in_one_line(self):
        for said, expected in (
            ("ERROR: Could not find a version\nERROR: No matching distribution found for clips==1.0\n", "check the network"),
            ("OSError: [Errno 28] No space left on device\n", "no space is left"),
            ("python3: No module named pip\n", "has no pip"),
            ("", "check the network"),
        ):
            failed = subprocess.CompletedProcess([], 1, "", said)
            with mock.patch.object(subprocess, "run", return_value=failed):
                status, _, error = self.run_main(download=fetch.download_with_pip)
            self.assertEqual((status, error.count("\n")), (1, 1), said)
            self.assertIn(expected, error)
            self.assertEqual(self.left(), set())

    def test_pip_is_asked_for_exactly_one_pinned_wheel(self):
        (item,) = self.items()
        with mock.patch.object(subprocess, "run") as run, self.assertRaises(fetch.FetchError):
            run.return_value = subprocess.CompletedProcess([], 1, "", "ERROR: no")
            fetch.download_with_pip(item, {}, self.folder)
        command = run.call_args.args[0]
        self.assertEqual(command[:4], [sys.executable, "-m", "pip", "download"])
        self.assertEqual(command[-1], "clips==1.0")
        for option in ("--no-deps", "--only-binary=:all:"):
            self.assertIn(option, command)

    def test_an_unknown_name_is_answered_with_the_known_ones(self):
        status, _, error = self.run_main("--only", "nonsense")
        self.assertEqual(status, 1)
        self.assertIn("there is no `nonsense`; there are clips", error)

    def test_no_runtime_comes_with_all_that_would_be_used_instead_of_another(self):
        chosen = fetch._choose(fetch.read_table(), None, True, "x86_64")
        self.assertEqual([item.name for item in chosen if item.kind in fetch.RUNTIMES], ["runtime"])
        self.assertIn("clearreality-x4", [item.name for item in chosen])

    def test_opt_in_items_come_only_when_asked_for_and_with_their_licence(self):
        self.table["items"]["clips"]["opt-in"] = True
        self.assertEqual(self.run_main()[0], 0)
        self.assertEqual(self.downloads, 0)
        for arguments in (["--all"], ["--only", "clips"]):
            self.assertIn("licence of its own: ours", self.run_main(*arguments)[1])
        self.assertEqual(self.downloads, 1)

    def test_the_list_changes_nothing(self):
        status, output, _ = self.run_main("--list")
        self.assertEqual((status, self.downloads, self.cache.exists()), (0, 0, False))
        self.assertIn("clips==1.0: testing. Licence: ours", output)

    def test_a_new_sidecar_is_copied_without_a_download(self):
        network = b"not really a network"
        row = {"kind": "onnx", "package": "clips", "used-for": "", "members": {}}
        self.table["items"] = {"net": row}
        for round_number in (1, 2):
            sidecar = f"[modelinfo]\nlicence=ours\nsha256={sha256(network)}\nround={round_number}\n"
            (self.folder / "net.onnx.modelinfo").write_text(sidecar)
            with mock.patch.object(fetch, "HERE", self.folder), mock.patch.object(fetch, "_to_onnx", lambda *_: network):
                self.assertEqual(self.run_main()[0], 0)
            self.assertEqual((self.cache / "models/net.onnx.modelinfo").read_text(), sidecar)
            self.assertEqual(self.left(), {"models/net.onnx", "models/net.onnx.modelinfo"})
        self.assertEqual(self.downloads, 1)

    def test_a_conversion_that_gives_other_bytes_is_refused(self):
        row = {"kind": "onnx", "package": "clips", "used-for": "", "members": {}}
        self.table["items"] = {"net": row}
        (self.folder / "net.onnx.modelinfo").write_text(f"[modelinfo]\nsha256={'0' * 64}\n")
        with mock.patch.object(fetch, "HERE", self.folder), mock.patch.object(fetch, "_to_onnx", lambda *_: b"net"):
            self.refuses("models/net.onnx is not the expected one")

    def test_the_cache_is_where_the_environment_says(self):
        for environment, expected in (
            ({"FACESR_CACHE_DIR": "/own", "XDG_CACHE_HOME": "/xdg", "HOME": "/people/me"}, "/own"),
            ({"FACESR_CACHE_DIR": "", "XDG_CACHE_HOME": "/xdg", "HOME": "/people/me"}, "/xdg/facesr"),
            ({"XDG_CACHE_HOME": "relative", "HOME": "/people/me"}, "/people/me/.cache/facesr"),
            ({"HOME": "/people/me"}, "/people/me/.cache/facesr"),
        ):
            with mock.patch.dict(os.environ, environment, clear=True):
                self.assertEqual(str(fetch.cache_folder()), expected)


if __name__ == "__main__":
    unittest.main()

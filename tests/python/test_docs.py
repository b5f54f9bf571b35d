"""README.md and docs/ say what is so: pipelines run, properties exist, generated tables are fresh."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "models/tiny"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES_TEXT = {page.name: page.read_text() for page in PAGES}
sys.path.insert(0, str(ROOT / "scripts"))

import properties_table

# Of every source. Networks for still pictures take seconds for one.
FRAMES = 5
# Sides of pictures are so much smaller than on the page: the pipeline counts, not the pixels.
SHRINK = 4
# Seconds until a pipeline counts as one that never ends.
LIMIT = 60


class NoRule(Exception):
    """Something on a page that this test cannot run; add a rule below."""


class Part:
    """An element of a pipeline, or caps, a link or the name of a pad, which have no properties."""

    def __init__(self, word: str, is_element: bool):
        self.word, self.is_element = word, is_element
        self.properties = {}

    def words(self) -> list:
        return [self.word, *(f"{name}={value}" for name, value in self.properties.items())]

    def name(self) -> list:
        """The property `name`, for what stands for this element."""
        return [f"name={self.properties['name']}"] if "name" in self.properties else []


class Stage:
    """Where pipelines run: a folder with the clips that they read, which gets what they write."""

    def __init__(self, folder: Path, clips: dict):
        self.folder, self.clips = folder, clips
        self.written = []

    def clip(self, name: str) -> Path:
        """The clip in the container that the name of a file asks for."""
        if Path(name).suffix not in self.clips:
            raise NoRule(f"no clip stands for {name}")
        return self.clips[Path(name).suffix]

    def write(self, name: str) -> Path:
        """A place for a file; it must hold frames in the end. A number in the name stands for any."""
        path = self.folder / Path(name).name
        self.written.append(re.sub(r"%\d*d", "*", path.name))
        return path


# H.264 as it comes live. From a file, hlssink2 of 1.22 now and then never ends: its end comes before it has prerolled.
CODED = shlex.split(
    f"videotestsrc is-live=true num-buffers={FRAMES} ! video/x-raw,format=I420,width=64,height=48,framerate=25/1"
    " ! x264enc tune=zerolatency ! h264parse"
)

# What stands for devices, servers, files and screens, for each element that has to do with some. Each
# rule gets the element and the stage and gives words, or changes the element and gives nothing.


def few_buffers(part: Part, stage: Stage) -> None:
    part.properties["num-buffers"] = FRAMES


def camera(part: Part, stage: Stage) -> list:
    """A live test picture; compressed where the caps after the camera say so."""
    jpeg = ["!", "jpegenc"] if part.followed_by.startswith("image/jpeg") else []
    return ["videotestsrc", "is-live=true", f"num-buffers={FRAMES}", *jpeg]


def microphone(part: Part, stage: Stage) -> list:
    return ["audiotestsrc", "is-live=true", "num-buffers=20"]


def file_in(part: Part, stage: Stage) -> None:
    part.properties["location"] = stage.clip(part.properties["location"])


def uri_in(part: Part, stage: Stage) -> None:
    uri = part.properties["uri"]
    is_stream = not uri.startswith("file:")
    part.properties["uri"] = stage.clip("clip.mkv" if is_stream else uri).as_uri()


def packets_in(part: Part, stage: Stage) -> list:
    """Video in RTP packets, as it comes from cameras on a network and from servers."""
    return [*CODED, "!", "rtph264pay", *part.name()]


def transport_stream_in(part: Part, stage: Stage) -> list:
    """Video and sound, as contribution links carry them."""
    sound = ["audiotestsrc", "is-live=true", "num-buffers=20", "!", "audioconvert", "!", "avenc_aac", "!", "aacparse"]
    return [*CODED, "!", "sent.", *sound, "!", "sent.", "mpegtsmux", "name=sent"]


def file_out(part: Part, stage: Stage) -> None:
    part.properties["location"] = stage.write(part.properties["location"])


def playlist_out(part: Part, stage: Stage) -> None:
    part.properties["location"] = stage.write(part.properties.get("location", "segment%05d.ts"))
    playlist = Path(part.properties.get("playlist-location", "playlist.m3u8")).name
    part.properties["playlist-location"] = stage.folder / playlist


def screen(part: Part, stage: Stage) -> list:
    return ["fakesink"]


def screen_with_rate(part: Part, stage: Stage) -> None:
    part.properties["video-sink"] = "fakesink"


def server(part: Part, stage: Stage) -> list:
    """Takes as many streams as come, and nobody is there to be asked for permission."""
    return ["funnel", *part.name(), "!", "fakesink"]


def listener(part: Part, stage: Stage) -> None:
    """Really listens; nobody calls, and it does not wait for that."""
    part.properties["wait-for-connection"] = "false"


def nothing(part: Part, stage: Stage) -> None:
    """As on the page."""


RULES = {
    "videotestsrc": few_buffers,
    "audiotestsrc": few_buffers,
    "v4l2src": camera,
    "libcamerasrc": camera,
    "alsasrc": microphone,
    "pulsesrc": microphone,
    "autoaudiosrc": microphone,
    "filesrc": file_in,
    "uridecodebin": uri_in,
    "uridecodebin3": uri_in,
    "urisourcebin": uri_in,
    "rtspsrc": packets_in,
    "udpsrc": packets_in,
    "srtsrc": transport_stream_in,
    "filesink": file_out,
    "multifilesink": file_out,
    "splitmuxsink": file_out,
    "hlssink2": playlist_out,
    "autovideosink": screen,
    "autoaudiosink": screen,
    "fpsdisplaysink": screen_with_rate,
    "glimagesink": screen,
    "waylandsink": screen,
    "xvimagesink": screen,
    "ximagesink": screen,
    "rtspclientsink": server,
    "rtmpsink": server,
    "rtmp2sink": server,
    "srtsink": listener,
    "udpsink": nothing,
    "fakesink": nothing,
    "fakevideosink": nothing,
}
# Files that properties of facesr name on the page, and what stands for them.
NETWORKS = {
    "model": TINY / "nearest-x2.onnx",
    "face-model": TINY / "face.onnx",
    "face-embedding": TINY / "embedding.onnx",
    "face-parsing": TINY / "parsing.onnx",
}
# Elements that touch the world outside of the pipeline, and properties that name a place in it.
TOUCHES = re.compile(r"(src|sink|sink\d)$|^(playbin|uri)")
PLACES = re.compile(r"location|uri|url|host|address|device|port|root|path|dir")
# Words like those of properties that are something else: fields of messages.
NO_PROPERTIES = {"exit-code"}
# What the shell makes something of: these in any word, and these where they are words, which quoted ones never are.
EXPANDS = re.compile(r"[$`]")
OPERATES = re.compile(r"[();<>|&]+")


def code_lines(page: Path) -> list:
    """Lines of code blocks, continued ones joined, as (number, text); blocks are fenced or indented by four."""
    lines, fenced, begun = [], False, None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif begun:
            lines[-1] = (begun, lines[-1][1] + " " + line.strip())
        elif fenced or line.startswith("    "):
            lines.append((number, line.strip()))
        else:
            continue
        last = lines[-1][1] if lines else ""
        begun = lines[-1][0] if last.endswith("\\") else None
        if begun:
            lines[-1] = (begun, last[:-1].rstrip())
    return lines


def pipelines() -> list:
    """Every pipeline of every page, as (where, command)."""
    return [
        (f"{page.relative_to(ROOT)}:{number}", line)
        for page in PAGES
        for number, line in code_lines(page)
        if "gst-launch-1.0" in line
    ]


def parse(command: str) -> tuple:
    """Options of gst-launch-1.0 and parts of the pipeline."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    if words[0] != "gst-launch-1.0":
        raise NoRule(f"what is {words[0]} before gst-launch-1.0?")
    options = [word for word in words[1:] if word.startswith("-")]
    if unknown := set(options) - {"-e", "-q", "-v", "-m"}:
        raise NoRule(f"options {unknown}")
    parts = []
    for word in words[1 + len(options):]:
        if EXPANDS.search(word) or OPERATES.fullmatch(word):
            raise NoRule(f"{word} is for the shell")
        is_caps = re.match(r"[a-z]+/[\w.+-]+", word)
        if parts and parts[-1].word.endswith(","):
            parts[-1].word += word
        elif is_caps or word == "!" or re.fullmatch(r"[\w-]+\.[\w%]*", word):
            parts.append(Part(word, is_element=False))
        elif setting := re.fullmatch(r"([\w:-]+)=(.*)", word):
            last = next((part for part in reversed(parts) if part.is_element), None)
            if last is None:
                raise NoRule(f"whose property is {word}?")
            last.properties[setting[1]] = setting[2]
        elif re.fullmatch(r"\w+", word):
            parts.append(Part(word, is_element=True))
        else:
            raise NoRule(f"what is {word}?")
    for part, after in zip(parts, [*parts[2:], None, None]):
        part.followed_by = after.word if after else ""
    return options, parts


def shrink(caps: str) -> str:
    """Caps of a smaller picture, of even sides."""
    return re.sub(
        r"((?:width|height)=(?:\(int\))?)(\d+)",
        lambda side: f"{side[1]}{max(16, int(side[2]) // SHRINK // 2 * 2)}",
        caps,
    )


def staged(command: str, stage: Stage) -> list:
    """The command as it can run here."""
    options, parts = parse(command)
    words, rules = [], []
    for part in parts:
        if not part.is_element:
            words.append(shrink(part.word))
        elif rule := RULES.get(part.word):
            rules.append(part.word)
            words += rule(part, stage) or part.words()
        elif TOUCHES.search(part.word):
            raise NoRule(f"nothing stands for {part.word}")
        else:
            for name, value in part.properties.items():
                is_place = PLACES.search(name) or "/" in value and not re.match(r"\d+/\d+$", value)
                if part.word == "facesr" and name in NETWORKS:
                    is_file = "/" in value or value.endswith(".onnx")
                    part.properties[name] = NETWORKS[name] if is_file else value
                elif part.word != "facesr" and is_place:
                    raise NoRule(f"nothing stands for {name}={value} of {part.word}")
            words += part.words()
    if len(rules) < 2:
        raise NoRule("no source or no sink is known")
    return ["gst-launch-1.0", *options, *map(str, words)]


def run(command: list, folder: Path, plugin: str) -> str:
    """What is wrong with a command's end; nothing if it ended well."""
    environment = {**os.environ, "GST_PLUGIN_PATH": plugin, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"it did not end within {LIMIT} s"
    if done.returncode or "ERROR" in done.stderr:
        return f"exit code {done.returncode}\n{done.stderr}"
    return ""


class Documentation(unittest.TestCase):
    def setUp(self):
        self.plugin = os.environ.get("FACESR_PLUGIN_DIR", "")
        if not (Path(self.plugin) / "libgstfacesr.so").is_file():
            self.fail("FACESR_PLUGIN_DIR must name the folder of libgstfacesr.so: run `make test-python`")

    def launch(self, folder: Path, line: str) -> None:
        wrong = run(["gst-launch-1.0", "-q", *shlex.split(line)], folder, self.plugin)
        self.assertFalse(wrong, f"{line}\n{wrong}")

    def clips(self, folder: Path) -> dict:
        """One clip with sound in each container that a page may name, and a picture."""
        video = f"videotestsrc num-buffers={FRAMES} ! video/x-raw,format=I420,width=64,height=48,framerate=25/1"
        coded = f"{video} ! x264enc key-int-max=2 bframes=0 ! h264parse"
        sound = "audiotestsrc samplesperbuffer=1920 num-buffers=5 ! audio/x-raw,rate=48000 ! audioconvert"
        muxers = {
            ".mp4": f"{coded} ! m. {sound} ! avenc_aac ! aacparse ! m. mp4mux",
            ".mkv": f"{coded} ! m. {sound} ! opusenc ! m. matroskamux",
        }
        for suffix, line in muxers.items():
            self.launch(folder, f"{line} name=m ! filesink location=clip{suffix}")
        self.launch(folder, f"{video} ! videoconvert ! pngenc snapshot=true ! filesink location=clip.png")
        return {suffix: folder / f"clip{suffix}" for suffix in [*muxers, ".png"]}

    def frames(self, clip: Path) -> int:
        """Frames of a clip."""
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            self.launch(
                Path(folder),
                f"filesrc location={clip} ! decodebin ! videoconvert ! videoscale"
                f" ! video/x-raw,format=GRAY8,width=8,height=8 ! filesink location={raw}",
            )
            return raw.stat().st_size // 64

    def test_every_pipeline_runs_to_its_end_and_what_it_writes_has_frames(self):
        with tempfile.TemporaryDirectory() as base:
            clips = self.clips(Path(base))
            for number, (where, line) in enumerate(pipelines()):
                with self.subTest(where=where):
                    folder = Path(base) / str(number)
                    folder.mkdir()
                    stage = Stage(folder, clips)
                    try:
                        command = staged(line, stage)
                    except NoRule as reason:
                        self.fail(f"{where}: {reason}; add a rule to {Path(__file__).name}\n{line}")
                    wrong = run(command, folder, self.plugin)
                    self.assertFalse(wrong, f"{where}: {line}\nran as {shlex.join(command)}\n{wrong}")
                    for pattern in stage.written:
                        files = sorted(folder.glob(pattern))
                        self.assertTrue(files, f"{where}: no {pattern} was written")
                        for file in files:
                            self.assertGreater(self.frames(file), 0, f"{where}: {file.name} has no frames")
                    shutil.rmtree(folder)

    def test_pipelines_are_in_code_blocks_where_they_are_found(self):
        for page in PAGES:
            found = sum(line.count("gst-launch-1.0") for _, line in code_lines(page))
            said = len(re.findall(r"gst-launch-1\.0[^`\n]*(?:!|\\$)", page.read_text(), re.MULTILINE))
            self.assertGreaterEqual(found, said, page.name)
        self.assertGreater(len(pipelines()), 5)

    def test_what_no_rule_covers_is_no_pipeline(self):
        stage = Stage(Path("/nowhere"), {})
        for line in (
            "gst-launch-1.0 unheardofsrc ! facesr ! fakesink",
            "gst-launch-1.0 videotestsrc ! facesr ! unheardofsink",
            "gst-launch-1.0 filesrc location=a.xyz ! facesr ! fakesink",
            "gst-launch-1.0 videotestsrc ! facesr ! x264enc multipass-cache-file=/a/b ! fakesink",
            "gst-launch-1.0 videotestsrc ! facesr ! fakesink > log",
            "gst-launch-1.0 videotestsrc pattern=$PATTERN ! facesr ! fakesink",
            "gst-launch-1.0 --no-fault videotestsrc ! facesr ! fakesink",
            "gst-launch-1.0 facesr ! fakesink",
            "sudo gst-launch-1.0 videotestsrc ! facesr ! fakesink",
        ):
            with self.assertRaises(NoRule, msg=line):
                staged(line, stage)

    def test_the_generated_parts_of_the_page_of_the_element_are_fresh(self):
        script = ROOT / "scripts/properties_table.py"
        done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_stale_page_is_noticed_in_one_line(self):
        script = ROOT / "scripts/properties_table.py"
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text(PAGES_TEXT["element.md"].replace("| `scale` |", "| `scales` |"))
            command = [sys.executable, script, "--page", page]
            done = subprocess.run([*command, "--check"], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
            for renewal in ("--write", "--check"):
                self.assertEqual(subprocess.run([*command, renewal]).returncode, 0, renewal)

    def test_every_property_is_in_the_table(self):
        names = {prop["name"] for prop in properties_table.properties(properties_table.inspect())}
        rows = re.findall(r"^\| `([\w-]+)` \|.*\| (?:in NULL|at any|read only)", PAGES_TEXT["element.md"], re.MULTILINE)
        self.assertEqual(sorted(rows), sorted(names))

    def test_every_property_that_a_page_names_exists(self):
        names = {prop["name"] for prop in properties_table.properties(properties_table.inspect())}
        families = {name.split("-")[0] for name in names if "-" in name}
        for page, text in PAGES_TEXT.items():
            for span in re.findall(r"`([^`\n]+)`", text):
                for word in re.findall(r"(?<![\w./@-])[a-z]+(?:-[a-z0-9]+)*(?![\w./-])=?", span):
                    name = word.rstrip("=")
                    is_meant = word.endswith("=") or "-" in name and name.split("-")[0] in families
                    if is_meant and name not in NO_PROPERTIES:
                        self.assertIn(name, names, f"{page}: `{span}`")


if __name__ == "__main__":
    unittest.main()

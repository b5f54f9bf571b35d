#!/usr/bin/python3
"""Runs a pipeline and serves the numbers of its facesr elements to Prometheus.

    examples/metrics-exporter.py [--port 9464] -- PIPELINE IN THE WORDS OF gst-launch-1.0
    curl localhost:9464/metrics

Ends with the pipeline: 0 at its end, 1 at an error. Debian packages: gir1.2-gstreamer-1.0, python3-gi.
"""

import argparse
import http.server
import signal
import sys
import threading

# Names of `stats`, of Prometheus, kinds, and what they are.
COUNTERS = (
    ("frames", "facesr_frames_total", "Frames that came out."),
    ("repeated", "facesr_repeated_frames_total", "Frames that were the same as the one before."),
    ("tiles", "facesr_network_runs_total", "Runs of the upscaling network."),
    ("tiles-left-out", "facesr_tiles_left_out_total", "Tiles resampled because the network gave no numbers."),
)
STAGES = ("facesr_stage_seconds", "Mean time for which a frame waited for a stage since the start.")
EFFORTS = ("facesr_effort_frames_total", "Frames by how much was done for them.")
FACES = ("facesr_faces", "Mean number of faces in a frame since the start.")
FALLBACKS = ("facesr_fallbacks", "Things that are less than what was asked for.")
USERS = ("facesr_network_users", "Elements of the process that share the network.")


def label(text: str) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def exposition(elements: dict) -> str:
    """What Prometheus reads, of `stats` as dictionaries by the names of elements."""
    lines = []

    def family(name: str, kind: str, text: str, samples: list) -> None:
        lines.extend((f"# HELP {name} {text}", f"# TYPE {name} {kind}"))
        for labels, value in samples:
            pairs = ",".join(f'{key}="{label(is_)}"' for key, is_ in labels.items())
            lines.append(f"{name}{{{pairs}}} {value}")

    def each(pick) -> list:
        return [
            ({"element": name, "model": stats["model"], **labels}, value)
            for name, stats in elements.items()
            for labels, value in pick(stats)
        ]

    for field, name, text in COUNTERS:
        family(name, "counter", text, each(lambda stats: [({}, stats[field])]))
    family(EFFORTS[0], "counter", EFFORTS[1], each(lambda s: [({"effort": k}, v) for k, v in s["efforts"].items()]))
    family(STAGES[0], "gauge", STAGES[1], each(lambda s: [({"stage": k}, v / 1000) for k, v in s["stages-ms"].items()]))
    family(FACES[0], "gauge", FACES[1], each(lambda s: [({}, s["faces"]["mean"])]))
    family(FALLBACKS[0], "gauge", FALLBACKS[1], each(lambda s: [({}, len(s["fallbacks"]))]))
    family(USERS[0], "gauge", USERS[1], each(lambda s: [({}, s["users"])]))
    return "\n".join(lines) + "\n"


def as_dict(structure) -> dict:
    """A Gst.Structure, and those inside it."""
    names = [structure.nth_field_name(at) for at in range(structure.n_fields())]
    return {name: value_of(structure, name) for name in names}


def value_of(structure, name: str):
    try:
        value = structure.get_value(name)
    except TypeError:
        # A GstValueArray, which Python alone does not know: as many places, and not what is in them.
        return range(structure.get_array(name)[1].n_values)
    return as_dict(value) if hasattr(value, "n_fields") else value


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--port", type=int, default=9464)
    options.add_argument("pipeline", nargs="+")
    options = options.parse_args()
    try:
        import gi

        gi.require_version("Gst", "1.0")
        from gi.repository import GLib, Gst
    except (ImportError, ValueError) as error:
        sys.exit(f"metrics-exporter: {error}: install gir1.2-gstreamer-1.0 and python3-gi")
    Gst.init(None)
    try:
        pipeline = Gst.parse_launchv(options.pipeline)
    except GLib.Error as error:
        sys.exit(f"metrics-exporter: {error.message}")

    def elements() -> dict:
        found = {}
        many = pipeline.iterate_recurse()
        while (step := many.next())[0] == Gst.IteratorResult.OK:
            factory = step[1].get_factory()
            if factory and factory.get_name() == "facesr":
                found[step[1].get_name()] = as_dict(step[1].get_property("stats"))
        return found

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                return self.send_error(404)
            text = exposition(elements()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_) -> None:
            """The pipeline's messages are what is to be read."""

    try:
        server = http.server.ThreadingHTTPServer(("", options.port), Handler)
    except OSError as error:
        sys.exit(f"metrics-exporter: port {options.port}: {error.strerror}; give another by --port")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: pipeline.send_event(Gst.Event.new_eos()))
    pipeline.set_state(Gst.State.PLAYING)
    bus, failed = pipeline.get_bus(), 0
    try:
        while not (message := bus.timed_pop_filtered(Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)):
            pass
        if message.type == Gst.MessageType.ERROR:
            print(f"metrics-exporter: {message.parse_error()[0].message}", file=sys.stderr)
            failed = 1
    except KeyboardInterrupt:
        pass
    pipeline.set_state(Gst.State.NULL)
    return failed


if __name__ == "__main__":
    sys.exit(main())

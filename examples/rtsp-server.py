#!/usr/bin/python3
"""Serves enhanced video by RTSP; however many watch it, it is enhanced once.

    examples/rtsp-server.py [--file FILE] [--port 8554] [--facesr "PROPERTY=VALUE ..."]

Without --file, a live test picture. Watch it: gst-launch-1.0 playbin3 uri=rtsp://localhost:8554/live
Debian packages: gir1.2-gst-rtsp-server-1.0, python3-gi. The plugin is found by GST_PLUGIN_PATH unless installed.
"""

import argparse
import sys
from pathlib import Path

LIVE = "model=facesr-live-x2-int8 temporal-mode=fast"
TEST = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=25/1"


def fail(text: str):
    sys.exit(f"rtsp-server: {text}")


def pipeline(source: str, settings: str) -> str:
    """From a source of raw video to packets; a client that joins late waits a second for a picture at most."""
    return (
        f"( {source} ! videoconvert ! deinterlace ! queue max-size-buffers=3 max-size-bytes=0 max-size-time=0"
        f" ! facesr name=facesr {settings} ! videoconvert ! video/x-raw,format=I420"
        " ! x264enc tune=zerolatency speed-preset=veryfast key-int-max=25 ! rtph264pay name=pay0 pt=96 )"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--file", type=Path, help="video to serve, from its beginning for the first who watches")
    options.add_argument("--port", type=int, default=8554)
    options.add_argument("--facesr", default=LIVE, help="properties of facesr")
    options = options.parse_args()
    if options.file and not options.file.is_file():
        fail(f"there is no file {options.file}")
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, Gst, GstRtspServer
    except (ImportError, ValueError) as error:
        fail(f"{error}: install gir1.2-gst-rtsp-server-1.0 and python3-gi")
    Gst.init(None)
    if not Gst.ElementFactory.find("facesr"):
        fail("there is no element facesr: run `make build` and set GST_PLUGIN_PATH to target/release/plugin")
    # Files come as fast as they are asked for; a server has to keep their time.
    source = f'filesrc location="{options.file.resolve()}" ! decodebin ! identity sync=true' if options.file else TEST

    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline(source, options.facesr))
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer(service=str(options.port))
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        fail(f"port {options.port} is taken: give another by --port")
    print(f"rtsp://localhost:{options.port}/live", flush=True)
    try:
        GLib.MainLoop().run()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

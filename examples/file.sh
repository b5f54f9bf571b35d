#!/bin/sh
# A file to a file with its sound, as a plain pipeline: what `facesr enhance` does with more
# care (frame times, subtitles, chapters, an output that appears only when it is whole).
#
#   examples/file.sh IN.mp4 OUT.mp4 [property=value ...]
#
# GST_PLUGIN_PATH must hold the folder of libgstfacesr.so, unless it is installed.
set -eu
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
in=$1 out=$2
shift 2

case $out in
    *.mp4 | *.mov) encoder="x264enc pass=quant quantizer=18 ! h264parse" sound="avenc_aac ! aacparse" mux="mp4mux" ;;
    *.mkv) encoder="x264enc pass=quant quantizer=18 ! h264parse" sound="opusenc" mux="matroskamux" ;;
    *.webm) encoder="vp9enc end-usage=cq cq-level=18 deadline=1 cpu-used=4" sound="opusenc" mux="webmmux" ;;
    *) echo "$out: the name must end in .mp4, .mov, .mkv or .webm" >&2; exit 2 ;;
esac

# Only a file that has sound gets a branch for it: a muxer waits for every pad.
command -v gst-discoverer-1.0 >/dev/null || {
    echo "gst-discoverer-1.0 is missing: install the package gstreamer1.0-plugins-base-apps" >&2
    exit 1
}
branch=
if gst-discoverer-1.0 "$in" 2>/dev/null | grep -q '  audio'; then
    branch="d. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=100000000 ! audioconvert ! audioresample ! $sound ! mux."
fi

# The words of the variables are meant to be split.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e filesrc location="$in" ! decodebin name=d \
    d. ! queue ! deinterlace ! facesr "$@" ! videoconvert ! queue ! $encoder ! mux. \
    $branch $mux name=mux ! filesink location="$out"

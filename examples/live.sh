#!/bin/sh
# A camera or an RTSP stream, enhanced and shown, late frames dropped instead of piled up.
#
#   examples/live.sh /dev/video0 [property=value ...]
#   examples/live.sh rtsp://HOST/PATH [property=value ...]
#   examples/live.sh test [property=value ...]        a test picture, without a camera
#
# SINK=... shows it elsewhere, e.g. SINK="fpsdisplaysink text-overlay=false video-sink=fakesink".
set -eu
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
from=$1
shift

case $from in
    rtsp://*) source="rtspsrc location=$from latency=200 ! decodebin" ;;
    test) source="videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=15/1" ;;
    *) source="v4l2src device=$from ! decodebin" ;;
esac

# One frame waits at most; a newer one takes its place.
# shellcheck disable=SC2086
exec gst-launch-1.0 $source ! videoconvert ! deinterlace \
    ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 \
    ! facesr "$@" ! videoconvert ! ${SINK:-autovideosink}

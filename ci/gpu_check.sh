#!/bin/sh
# What a machine with an NVIDIA GPU shows of facesr, in one command of less than ten minutes; ci/gpu_check.py says how.
exec python3 "$(dirname "$0")/gpu_check.py" "$@"

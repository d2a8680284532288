#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENTS OF tools/test.py]
# On several machines, run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT.
# Without a GPU, GPUS counts processes on the CPU.
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
TOOLS=$(dirname "$0")
exec "$TOOLS/torchrun.sh" "$3" "$TOOLS/test.py" "$1" "$2" --launcher pytorch "${@:4}"

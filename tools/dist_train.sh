#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF tools/train.py]
# On several machines, run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT.
# Without a GPU, GPUS counts processes on the CPU.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
TOOLS=$(dirname "$0")
exec "$TOOLS/torchrun.sh" "$2" "$TOOLS/train.py" "$1" --launcher pytorch "${@:3}"

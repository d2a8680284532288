#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh have in common.
# Usage: tools/torchrun.sh PROCESSES SCRIPT [ARGUMENTS OF SCRIPT]
# NNODES, NODE_RANK, MASTER_ADDR and PORT are read from the environment; processes that
# wait for others give up after RDZV_TIMEOUT seconds.
set -euo pipefail

whole_number() {  # NAME VALUE LOWEST HIGHEST
    if ! [[ $2 =~ ^[0-9]{1,9}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
        echo "torchrun.sh: error: $1=$2 must be a whole number from $3 to $4" >&2
        exit 2
    fi
}
nnodes=${NNODES:-1} rank=${NODE_RANK:-0} port=${PORT:-29500}
master=${MASTER_ADDR:-127.0.0.1} timeout=${RDZV_TIMEOUT:-60}
whole_number GPUS "$1" 1 4096
whole_number NNODES "$nnodes" 1 4096
whole_number NODE_RANK "$rank" 0 $((nnodes - 1))
whole_number PORT "$port" 1 65535
whole_number RDZV_TIMEOUT "$timeout" 1 86400
if ! python -c 'import socket, sys; socket.getaddrinfo(sys.argv[1], None)' "$master" \
    2>/dev/null; then
    echo "torchrun.sh: error: MASTER_ADDR=$master is no address that is known here" >&2
    exit 2
fi
if ((nnodes > 1)); then
    echo "torchrun.sh: machine $rank of $nnodes waits $timeout s (RDZV_TIMEOUT) for" \
        "the others at $master:$port"
fi
PYTHONPATH="$(dirname "$0")/..:${PYTHONPATH:-}" exec python -m torch.distributed.run \
    --nnodes="$nnodes" \
    --node_rank="$rank" \
    --master_addr="$master" \
    --master_port="$port" \
    --rdzv_conf="timeout=$timeout" \
    --nproc_per_node="$1" \
    "${@:2}"

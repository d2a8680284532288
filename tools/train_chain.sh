#!/usr/bin/env bash
# Train configs one after the other, as a chain of teacher assistants (TAKD) needs:
# each config names the checkpoint of the one before it as its teacher_ckpt.
# Usage: [GPUS=N] tools/train_chain.sh CONFIG [CONFIG ...] [ARGUMENTS OF tools/train.py]
# The same command goes on where it was interrupted: what is trained is not repeated.
set -euo pipefail

TOOLS=$(dirname "$0")
configs=()
while [ $# -gt 0 ] && [[ $1 != -* ]]; do
    configs+=("$1")
    shift
done
if [ ${#configs[@]} -eq 0 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
for config in "${configs[@]}"; do
    if [ "${GPUS:-1}" -gt 1 ]; then
        "$TOOLS/dist_train.sh" "$config" "$GPUS" --resume "$@"
    else
        PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" python "$TOOLS/train.py" "$config" --resume "$@"
    fi
done

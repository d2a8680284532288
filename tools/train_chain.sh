#!/usr/bin/env bash
# Train configs one after the other, as a chain of teacher assistants (TAKD) needs:
# each config names the checkpoint of the one before it as its teacher_ckpt.
# Usage: [GPUS=N] tools/train_chain.sh CONFIG [CONFIG ...] [ARGUMENTS OF tools/train.py]
# The same command goes on where it was interrupted: what is trained is not repeated.
# With --work-dir D, each trains in a folder D/NAME OF ITS CONFIG.
set -euo pipefail

TOOLS=$(dirname "$0")
configs=()
while [ $# -gt 0 ] && [[ $1 != -* ]]; do
    configs+=("$1")
    shift
done
if [ ${#configs[@]} -eq 0 ]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi
work_dir=
arguments=(--resume)
while [ $# -gt 0 ]; do
    case $1 in
    --work-dir=*) work_dir=${1#*=} ;;
    --work-dir)
        work_dir=${2:?"train_chain.sh: error: --work-dir names no folder"}
        shift
        ;;
    --w*) # argparse would take it for --work-dir: one folder for all
        echo "train_chain.sh: error: $1: write --work-dir" >&2
        exit 2
        ;;
    *) arguments+=("$1") ;;
    esac
    shift
done
names=' '
for config in "${configs[@]}"; do
    name=$(basename "${config%.*}")
    if [[ $names == *" $name "* ]]; then
        echo "train_chain.sh: error: two configs are named $name; they would share a" \
            "work dir, and the second would not be trained" >&2
        exit 2
    fi
    if [[ $config != *::* && ! -f $config ]]; then
        echo "train_chain.sh: error: $config: no such file" >&2
        exit 2
    fi
    names+="$name "
done
for config in "${configs[@]}"; do
    each=("${arguments[@]}")
    if [ -n "$work_dir" ]; then
        each+=(--work-dir "$work_dir/$(basename "${config%.*}")")
    fi
    if [ "${GPUS:-1}" != 1 ]; then
        "$TOOLS/dist_train.sh" "$config" "$GPUS" "${each[@]}"
    else
        PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" python "$TOOLS/train.py" "$config" "${each[@]}"
    fi
done

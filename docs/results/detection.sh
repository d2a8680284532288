#!/usr/bin/env bash
# Faster R-CNN with few images: a student of a quarter of its teacher's width, alone and
# by three methods, and LumiNet's settings; trained on train, tuned on val, and tested.
# Usage: docs/results/detection.sh bccd|coco128 DATA_FOLDER [WORK_DIR]
# SEEDS and JOBS (trainings at a time) are 0 to 4 and 2. One teacher, of the first seed,
# teaches all. The same command goes on where it was interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
NAME=$1
DATA=$(realpath "$2")/
WORK=${3:-work_dirs/detection_$NAME}
SEEDS=${SEEDS:-0 1 2 3 4}
: "${JOBS:=2}"
FIRST=${SEEDS%% *}
TEACHER=frcnn_r18_$NAME
STUDENT=frcnn_quarter_$NAME
export OMP_NUM_THREADS=1

# train SEED NAME CONFIG [OPTION ...]: one training and its test, unless complete
train() {
    local dir=$WORK/seed$1/$2
    [ -e "$dir/tested" ] && return
    mkdir -p "$dir"
    {
        python tools/train.py "configs/$NAME/$3.py" --work-dir "$dir" --resume \
            --cfg-options data_root="$DATA" randomness.seed="$1" "${@:4}" &&
            python tools/test.py "configs/$NAME/$3.py" "$(cat "$dir/last_checkpoint")" \
                --work-dir "$dir" --cfg-options data_root="$DATA"
    } >>"$dir/train.log" 2>&1 && touch "$dir/tested" || echo "$dir failed, see train.log"
}

# distil SEED NAME METHOD [OPTION ...]: by the first seed's teacher
distil() {
    train "$1" "$2" "frcnn_r18_quarter_$3_$NAME" "${@:4}" \
        model.teacher_ckpt="$(cat "$WORK/seed$FIRST/$TEACHER/last_checkpoint")"
}

# queue COMMAND ...: at most JOBS at a time
queue() {
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || true; done
    "$@" &
}

queue train "$FIRST" $TEACHER $TEACHER
for seed in $SEEDS; do queue train "$seed" $STUDENT $STUDENT; done
wait

for seed in $SEEDS; do
    for method in luminet kd dkd; do queue distil "$seed" $method $method; done
done
wait

for split in '' --test; do
    # shellcheck disable=SC2086
    python tools/analysis_tools/compare_seeds.py "$WORK" --baseline $STUDENT $split \
        --metrics coco/bbox_mAP coco/bbox_mAP_50 coco/bbox_mAP_75
done

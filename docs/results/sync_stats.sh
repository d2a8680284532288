#!/usr/bin/env bash
# What the statistics of LumiNet are worth to processes with few samples each: those of
# their own batch, of all processes (sync_stats) or of their last four batches.
# Trains once more, with several processes, what classification.sh and detection.sh
# trained with one.
# Usage: docs/results/sync_stats.sh tinyimagenet WORK_DIR_OF_CLASSIFICATION
#        docs/results/sync_stats.sh bccd WORK_DIR_OF_DETECTION
# SEEDS are 0 to 2. The same command goes on where it was interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
    sed -n '2,8s/^# //p' "$0" >&2
    exit 2
}
[ $# -eq 2 ] || usage
WORK=$(realpath "$2")
SEEDS=${SEEDS:-0 1 2}
case $1 in
tinyimagenet)
    STUDENT=resnet8_tin32 TEACHER=vgg8_tin32 FROM=luminet_warmup_quarter
    PROCESSES=4 OPTIONS=(train_dataloader.batch_size=16)
    STATISTICS=(own synced recent)
    METRICS=(accuracy/top1 accuracy/top5)
    ;;
bccd)
    STUDENT=frcnn_quarter_bccd TEACHER=frcnn_r18_bccd FROM=luminet_box_rpn
    PROCESSES=2 OPTIONS=(
        train_dataloader.batch_size=2
        model.teacher_ckpt="$(cat "$WORK/seed0/$TEACHER/last_checkpoint")"
    )
    STATISTICS=(own synced)  # of 1,024 RoIs, which are no few
    METRICS=(coco/bbox_mAP coco/bbox_mAP_50 coco/bbox_mAP_75)
    ;;
*) usage ;;
esac
export OMP_NUM_THREADS=1
export PYTHONPATH=docs/results/sync_stats${PYTHONPATH:+:$PYTHONPATH}

own=()
synced=(model.distill_losses.loss_luminet.sync_stats=True)
recent=(
    model.distill_losses.loss_luminet.type=luminet_mm.RecentLuminetLoss
    custom_imports.imports="[recent_luminet_loss]"
)

# train SEED STATISTICS: one training, unless it is complete
train() {
    local from=$WORK/seed$1/$FROM dir=$WORK/seed$1/${FROM}_$2
    local -n statistics=$2
    [ -e "$dir/complete" ] && return
    mkdir -p "$dir"
    tools/dist_train.sh "$from"/*.py $PROCESSES --work-dir "$dir" --resume --cfg-options \
        randomness.seed="$1" "${OPTIONS[@]}" "${statistics[@]}" \
        >>"$dir/train.log" 2>&1 &&
        touch "$dir/complete" || echo "$dir failed, see $dir/train.log"
}

for seed in $SEEDS; do
    for name in "${STATISTICS[@]}"; do train "$seed" "$name"; done
done

python tools/analysis_tools/compare_seeds.py "$WORK" --baseline $STUDENT \
    --metrics "${METRICS[@]}" \
    --names $TEACHER $STUDENT $FROM "${STATISTICS[@]/#/${FROM}_}"

#!/usr/bin/env bash
# Detectors with few images: a student of a quarter of its teacher's width, alone and by
# several methods; then, of Faster R-CNN on BCCD, LumiNet with one thing varied at a time,
# and features, alone with weights varied and beside the rest. Trained on train, tuned on
# val, and tested; on coco128, which is too small to generalise from, on the training
# images as well.
# Usage: [FAMILY=frcnn|retinanet|rtmdet] docs/results/detection.sh bccd|coco128
#     DATA_FOLDER [WORK_DIR]
# SEEDS are 0 to 4, VARIED (the seeds of what is varied) 0 to 2, JOBS (trainings at a
# time) 2; ONLY names the trainings to run, of all. One teacher, of the first seed,
# teaches all. The same command goes on where it was interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# -ge 2 ] || { sed -n '2,11s/^# //p' "$0" >&2; exit 2; }
NAME=$1
DATA=$(realpath "$2")/
FAMILY=${FAMILY:-frcnn}
WORK=${3:-work_dirs/detection_${FAMILY}_$NAME}
SEEDS=${SEEDS:-0 1 2 3 4}
VARIED=${VARIED:-0 1 2}
: "${JOBS:=2}"
FIRST=${SEEDS%% *}
case $FAMILY in
frcnn) LARGE=frcnn_r18 METHODS='luminet kd dkd luminet_box_rpn' ;;
retinanet) LARGE=retinanet_r18 METHODS='luminet kd luminet_box' ;;
rtmdet) LARGE=rtmdet_s METHODS='luminet kd luminet_box' ;;
*) echo "FAMILY=$FAMILY is none of frcnn, retinanet, rtmdet" >&2; exit 2 ;;
esac
TEACHER=${LARGE}_$NAME
STUDENT=${FAMILY}_quarter_$NAME
FIT=(test_dataloader.dataset.ann_file=annotations/instances_train2017.json
    test_dataloader.dataset.data_prefix.img=train2017/
    test_evaluator.ann_file="$DATA"annotations/instances_train2017.json)
export OMP_NUM_THREADS=1

# train SEED NAME CONFIG [OPTION ...]: one training and its test, unless complete
train() {
    local dir=$WORK/seed$1/$2
    [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $2 "* ]] || return 0
    [ -e "$dir/tested" ] && return
    mkdir -p "$dir"
    {
        python tools/train.py "$3" --work-dir "$dir" --resume \
            --cfg-options data_root="$DATA" randomness.seed="$1" "${@:4}" &&
            python tools/test.py "$3" "$(cat "$dir/last_checkpoint")" \
                --work-dir "$dir" --cfg-options data_root="$DATA" &&
            { [ "$NAME" != coco128 ] || python tools/test.py "$3" \
                "$(cat "$dir/last_checkpoint")" --work-dir "${WORK}_fit/seed$1/$2" \
                --cfg-options data_root="$DATA" "${FIT[@]}"; }
    } >>"$dir/train.log" 2>&1 && touch "$dir/tested" || echo "$dir failed, see train.log"
}

# distil SEED NAME METHOD|CONFIG [OPTION ...]: by the first seed's teacher
distil() {
    local config=$3
    [ -e "$config" ] || config=configs/$NAME/${LARGE}_quarter_$3_$NAME.py
    train "$1" "$2" "$config" "${@:4}" \
        model.teacher_ckpt="$(cat "$WORK/seed$FIRST/$TEACHER/last_checkpoint")"
}

# queue COMMAND ...: at most JOBS at a time
queue() {
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || true; done
    "$@" &
}

for seed in $SEEDS; do
    for name in "$TEACHER" "$STUDENT"; do
        queue train "$seed" "$name" "configs/$NAME/$name.py"
    done
done
wait

for seed in $SEEDS; do
    for method in $METHODS; do
        queue distil "$seed" $method $method
    done
done

# One thing varied at a time; variants.py has what the project itself has not kept
if [ "$FAMILY $NAME" = "frcnn bccd" ]; then
    LUMINET=model.distill_losses.loss_luminet
    BOX=(model.distill_losses.loss_box.type=luminet_mm.BoxLoss)
    RPN=(type=luminet_mm.KDLoss tau=1.0 compares=objectness)
    RPN=("${RPN[@]/#/model.distill_losses.loss_rpn.}")
    VARIANTS=docs/results/detection/variants
    export PYTHONPATH=$VARIANTS${PYTHONPATH:+:$PYTHONPATH}
    for seed in $VARIED; do
        for tau in 0.5 2.0; do
            queue distil "$seed" "tau_$tau" luminet $LUMINET.tau=$tau
        done
        for weight in 0.25 4 16; do
            queue distil "$seed" "weight_$weight" luminet $LUMINET.loss_weight=$weight
        done
        for warmup in 0 400; do
            queue distil "$seed" "warmup_$warmup" luminet model.warmup=$warmup
        done
        queue distil "$seed" luminet_box luminet "${BOX[@]}"
        queue distil "$seed" luminet_rpn luminet "${RPN[@]}"
        queue distil "$seed" kd_box kd "${BOX[@]}"
        queue distil "$seed" kd_box_rpn kd "${BOX[@]}" "${RPN[@]}"
        for config in "$VARIANTS"/*_bccd.py; do
            queue distil "$seed" "$(basename "$config" _bccd.py)" "$config"
        done
    done
    # A teacher of images half as large again, which sees the student's at that size
    LARGER=(train_dataloader.dataset.pipeline.2.scale='(480,360)')
    LARGER+=({val,test}_dataloader.dataset.pipeline.1.scale='(480,360)')
    queue train "$FIRST" "${TEACHER}_larger" "configs/$NAME/$TEACHER.py" "${LARGER[@]}"
    wait
    for seed in $VARIED; do
        TEACHER=${TEACHER}_larger queue distil "$seed" larger luminet "${BOX[@]}" \
            model.teacher.scale=1.5
    done
fi
# Features: the published weights alone, and beside LumiNet, boxes and RPN; then weights
# varied. The teacher remembers what it saw, which halves the time.
if [ "$FAMILY $NAME" = "frcnn bccd" ]; then
    mkdir -p "$WORK/configs"
    # remembering NAME BASE WHAT: a config of WHAT, a dict, whose teacher remembers
    remembering() {
        printf '%s\n' "_base_ = '$PWD/configs/bccd/$2_bccd.py'" \
            "custom_imports = dict(imports=['remembering'])" \
            "model = dict($3, type='luminet_mm.RememberingDistiller')" \
            >"$WORK/configs/$1.py"
    }
    # feature SEED METHOD FACTOR [BESIDE]: its published weight times a factor, alone or
    # with BESIDE, luminet_box_rpn_
    feature() {
        local name=${4:-}$2 weight
        weight=$(sed -n 's/.*loss_weight=\([0-9.e-]*\).*/\1/p' \
            "configs/_base_/detection_methods/$2_det.py")
        [ "$3" = 1 ] || name+=_times_$3
        distil "$1" "$name" "$WORK/configs/${4:-}$2.py" \
            model.distill_losses.loss_"$2".loss_weight="$(
                awk "BEGIN {print ${weight:-1} * $3}")"
    }
    for method in fitnet fgfi reviewkd cwd pkd fgd; do
        remembering $method pairs/frcnn_r18_quarter "_base_.$method"
        remembering luminet_box_rpn_$method frcnn_r18_quarter_luminet_box_rpn \
            "distill_losses=_base_.$method.distill_losses"
    done
    for seed in $SEEDS; do
        for method in fitnet fgfi reviewkd cwd pkd fgd; do
            queue feature "$seed" $method 1
        done
    done
    for seed in $VARIED; do
        for method in fitnet fgfi reviewkd cwd pkd fgd; do
            for factor in 0.0625 0.25 1 4; do
                queue feature "$seed" $method $factor luminet_box_rpn_
                [ "$factor" = 1 ] || queue feature "$seed" $method $factor
            done
        done
    done
fi
wait

COMPARED=(--baseline "$STUDENT")
# shellcheck disable=SC2206
[ -z "${ONLY:-}" ] || COMPARED=(--names $ONLY)
COMPARED+=(--metrics coco/bbox_mAP coco/bbox_mAP_50 coco/bbox_mAP_75)
for split in '' --test; do
    # shellcheck disable=SC2086
    python tools/analysis_tools/compare_seeds.py "$WORK" "${COMPARED[@]}" $split
done
[ "$NAME" != coco128 ] ||
    python tools/analysis_tools/compare_seeds.py "${WORK}_fit" "${COMPARED[@]}" --test

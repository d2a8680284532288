#!/usr/bin/env bash
# Distillation by logits and by features on Tiny ImageNet at 32x32, and LumiNet's knobs.
# Usage: docs/results/classification.sh PROTOCOL IMAGE_FOLDER [WORK_DIR]
#   cpu  VGG-8 to ResNet-8, 20 classes, 16 epochs, for two cores
#   gpu  ResNet-32x4 to ResNet-8x4, 100 classes, 240 epochs
# The image folder has train/ and val/ with one folder a class. EPOCHS, SEEDS and JOBS
# (trainings at a time) override a protocol; milestones stay at the fractions of the
# 240-epoch recipe. ONLY names the trainings to run, of all. The same command goes on
# where it was interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
    sed -n '2,9s/^# //p' "$0" >&2
    exit 2
}
[ $# -ge 2 ] || usage
DATA=$(realpath "$2")
WORK=${3:-work_dirs/classification_$1}
case $1 in
cpu)
    : "${EPOCHS:=16}" "${JOBS:=2}"
    STUDENT=resnet8_tin32 TEACHER=vgg8_tin32 PAIR=vgg8_resnet8_tin32 CLASSES=20
    export OMP_NUM_THREADS=1
    ;;
gpu)
    : "${EPOCHS:=240}" "${JOBS:=6}"
    STUDENT=resnet8x4_tin32 TEACHER=resnet32x4_tin32 PAIR=resnet32x4_resnet8x4_tin32
    CLASSES=100
    ;;
*) usage ;;
esac
SEEDS=${SEEDS:-0 1 2}
CONFIGS=configs/tinyimagenet
LOSSES=model.distill_losses

# Classes at equal distances in the alphabet, as links
SUBSET=$WORK/data
STEP=$((100 / CLASSES))
for class in $(cd "$DATA/train" && printf '%s\n' * | awk "(NR - 1) % $STEP == 0"); do
    for split in train val; do
        mkdir -p "$SUBSET/$split"
        ln -sfn "$DATA/$split/$class" "$SUBSET/$split/$class"
    done
done

SCHEDULE=(
    data_root="$SUBSET"
    data_preprocessor.num_classes="$CLASSES"
    train_cfg.max_epochs="$EPOCHS"
    param_scheduler.milestones="[$((EPOCHS * 5 / 8)),$((EPOCHS * 3 / 4)),$((EPOCHS * 7 / 8))]"
)

# train SEED NAME CONFIG [OPTION ...]: one training, unless it is complete
train() {
    local dir=$WORK/seed$1/$2
    [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $2 "* ]] || return 0
    [ -e "$dir/epoch_$EPOCHS.pth" ] && return
    mkdir -p "$dir"
    python tools/train.py "$3" --work-dir "$dir" --resume --cfg-options \
        "${SCHEDULE[@]}" randomness.seed="$1" "${@:4}" >"$dir/train.log" 2>&1 ||
        echo "$dir failed, see $dir/train.log"
}

# distil SEED NAME METHOD|CONFIG [OPTION ...]: by the teacher of TEACHER_SEED, or of its own
distil() {
    local teacher=$WORK/seed${TEACHER_SEED:-$1}/$TEACHER config=$3
    [ -e "$config" ] || config=$WORK/configs/$3.py
    train "$1" "$2" "$config" \
        model.warmup=$((EPOCHS < 12 ? 1 : EPOCHS / 12)) \
        model.student.cfg_path=$CONFIGS/$STUDENT.py \
        model.student.head.num_classes=$CLASSES \
        model.teacher.cfg_path="$teacher/$TEACHER.py" \
        model.teacher_ckpt="$teacher/epoch_$EPOCHS.pth" "${@:4}"
}

# queue COMMAND ...: at most JOBS at a time
queue() {
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || true; done
    "$@" &
}

for seed in $SEEDS; do
    for name in $TEACHER $STUDENT; do
        queue train "$seed" $name "$CONFIGS/$name.py" model.head.num_classes=$CLASSES
    done
done
wait
METHODS='luminet kd dkd ls fitnet at rkd crd ofd reviewkd fcfd'
mkdir -p "$WORK/configs"
for method in $METHODS; do
    printf '%s\n' "_base_ = '$PWD/$CONFIGS/pairs/$PAIR.py'" \
        "model = {{_base_.$method}}" >"$WORK/configs/$method.py"
done
# LumiNet beside the feature method that gains most
printf '%s\n' "_base_ = '$PWD/$CONFIGS/pairs/$PAIR.py'" \
    "losses = dict(_base_.luminet.distill_losses, **_base_.rkd.distill_losses)" \
    "model = dict(_base_.luminet, distill_losses=losses)" >"$WORK/configs/luminet_rkd.py"
for seed in $SEEDS; do
    for method in ${METHODS/crd/}; do
        queue distil "$seed" $method $method
    done
    # As many negatives for each image as published, of the images that there are
    queue distil "$seed" crd crd $LOSSES.loss_crd.num_samples=$((CLASSES * 500)) \
        $LOSSES.loss_crd.num_negatives=$((CLASSES * 16384 / 100))
done

# One knob at a time, with the first seed, against alpha 33 (68.0625 is the square of
# 33 / 4, 4356 that of 66), tau 4, CE weight 2, a warm-up of EPOCHS / 12, batches of 64
knob() { queue distil "${SEEDS%% *}" "luminet_$1" luminet "${@:2}"; }
LOSS=$LOSSES.loss_luminet
CE=model.student.head.loss.loss_weight
knob tau1 $LOSS.tau=1
knob tau8 $LOSS.tau=8
knob tau1_same_alpha_by_tau $LOSS.tau=1 $LOSS.loss_weight=68.0625
knob tau8_same_alpha_by_tau $LOSS.tau=8 $LOSS.loss_weight=4356
knob alpha10 $LOSS.loss_weight=100
knob alpha66 $LOSS.loss_weight=4356
[ "$EPOCHS" -lt 24 ] || knob warmup0 model.warmup=0  # else it is 0 or 1 already
knob batch32 train_dataloader.batch_size=32
knob batch256 train_dataloader.batch_size=256
knob ce1 $CE=1
knob ce0.1 $CE=0.1
# The knob that matters most, with every seed, beside RKD, and for DKD, which has it too
for seed in $SEEDS; do
    for method in luminet luminet_rkd dkd; do
        queue distil "$seed" ${method}_warmup_quarter $method \
            model.warmup=$((EPOCHS < 4 ? 1 : EPOCHS / 4))
    done
done
# Statistics of all 64 samples, as sync_stats gives them to processes, or of 16 or 4, as
# processes with as many have them; of 16 and of those of the last three batches; of 4
# and, for variances alone, of those of the last fifteen. A study of its own, see
# statistics.md: they run only if ONLY names them.
VARIANTS=docs/results/classification/variants
export PYTHONPATH=$VARIANTS${PYTHONPATH:+:$PYTHONPATH}
# stats SEED NAME METHOD|CONFIG [OPTION ...]: by the first seed's teacher
stats() {
    [ -n "${ONLY:-}" ] || return 0
    TEACHER_SEED=${SEEDS%% *} queue distil "$1" "stats_$2" "${@:3}" \
        model.warmup=$((EPOCHS < 4 ? 1 : EPOCHS / 4))
}
for seed in $SEEDS; do
    stats "$seed" 64 luminet
    stats "$seed" 16 $VARIANTS/luminet_grouped_tin32.py
    stats "$seed" 16_recent $VARIANTS/luminet_grouped_tin32.py $LOSS.num_past=3
    stats "$seed" 4 $VARIANTS/luminet_grouped_tin32.py $LOSS.group_size=4
    stats "$seed" 4_centered $VARIANTS/luminet_grouped_tin32.py $LOSS.group_size=4 \
        $LOSS.num_past=15 $LOSS.center=True
done
wait

compare() { python tools/analysis_tools/compare_seeds.py "$WORK" "$@"; }
if [ -n "${ONLY:-}" ]; then
    # shellcheck disable=SC2086
    compare --names $ONLY
    exit
fi
compare --baseline $STUDENT --curve "$WORK/curve.svg" \
    --names $TEACHER $STUDENT kd ls dkd luminet {dkd,luminet,luminet_rkd}_warmup_quarter \
    fitnet at rkd crd ofd reviewkd fcfd
# shellcheck disable=SC2046
compare --baseline $STUDENT --names $(cd "$WORK/seed${SEEDS%% *}" && printf '%s\n' luminet*)

#!/usr/bin/env bash
# Four methods on two CPU cores: VGG-8 to ResNet-8 on 20 classes of Tiny ImageNet at
# 32x32, 16 epochs, milestones at the fractions of the 240-epoch recipe, three seeds.
# A run that is complete is kept; one that was interrupted is resumed.
# Usage: docs/results/classification_cpu.sh IMAGE_FOLDER [WORK_DIR]
set -euo pipefail
cd "$(dirname "$0")/../.."

DATA=$(realpath "$1")
WORK=${2:-work_dirs/classification_cpu}
JOBS=${JOBS:-2}
SEEDS=${SEEDS:-0 1 2}
STUDENT=configs/tinyimagenet/resnet8_tin32.py
TEACHER=configs/tinyimagenet/vgg8_tin32.py
PAIR=configs/tinyimagenet/resnet32x4_resnet8x4
export OMP_NUM_THREADS=1

# Every fifth class by name, as links
SUBSET=$WORK/data
for class in $(cd "$DATA/train" && printf '%s\n' * | awk 'NR % 5 == 1'); do
    for split in train val; do
        mkdir -p "$SUBSET/$split"
        ln -sfn "$DATA/$split/$class" "$SUBSET/$split/$class"
    done
done

SCHEDULE=(
    data_root="$SUBSET"
    data_preprocessor.num_classes=20
    train_cfg.max_epochs=16
    param_scheduler.milestones="[10,12,14]"
)

# train SEED NAME CONFIG [OPTION ...]: one training, unless it is complete
train() {
    local dir=$WORK/seed$1/$2
    [ -e "$dir/epoch_16.pth" ] && return
    mkdir -p "$dir"
    python tools/train.py "$3" --work-dir "$dir" --resume --cfg-options \
        "${SCHEDULE[@]}" randomness.seed="$1" "${@:4}" >"$dir/train.log" 2>&1 ||
        echo "$dir failed, see $dir/train.log"
}

# distil SEED NAME METHOD [OPTION ...]: by the teacher of the same seed
distil() {
    local teacher=$WORK/seed$1/vgg8_tin32
    train "$1" "$2" "${PAIR}_$3_tin32.py" model.warmup=1 \
        model.student.cfg_path=$STUDENT model.student.head.num_classes=20 \
        model.teacher.cfg_path="$teacher/vgg8_tin32.py" \
        model.teacher_ckpt="$teacher/epoch_16.pth" "${@:4}"
}

# queue COMMAND ...: at most JOBS at a time
queue() {
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || true; done
    "$@" &
}

for seed in $SEEDS; do
    queue train "$seed" vgg8_tin32 $TEACHER model.head.num_classes=20
    queue train "$seed" resnet8_tin32 $STUDENT model.head.num_classes=20
done
wait

for seed in $SEEDS; do
    for method in luminet kd dkd ls; do
        queue distil "$seed" $method $method
    done
done

# LumiNet's knobs, one at a time, against alpha 33, tau 4, CE weight 2, warm-up 1,
# batch 64
knob() { queue distil 0 "luminet_$1" luminet "${@:2}"; }
LOSS=model.distill_losses.loss_luminet
CE=model.student.head.loss.loss_weight
knob tau1 $LOSS.tau=1
knob tau8 $LOSS.tau=8
knob tau1_same_alpha_by_tau $LOSS.tau=1 $LOSS.loss_weight=68.0625
knob tau8_same_alpha_by_tau $LOSS.tau=8 $LOSS.loss_weight=4356
knob alpha10 $LOSS.loss_weight=100
knob alpha66 $LOSS.loss_weight=4356
knob warmup0 model.warmup=0
knob warmup4 model.warmup=4
knob batch32 train_dataloader.batch_size=32
knob batch256 train_dataloader.batch_size=256
knob ce1 $CE=1
knob ce0.1 $CE=0.1
wait

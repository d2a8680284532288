#!/usr/bin/env bash
# The main job on 128 + 128 real COCO images and two CPU cores, from random
# weights: a teacher, the distillation with a kill and a resume, and its tests.
# Usage: docs/results/coco128.sh FOLDER_OF_COCO128 [WORK_DIR]
set -euo pipefail
cd "$(dirname "$0")/../.."

DATA=$1
WORK=${2:-work_dirs/coco128}
MAIN=configs/coco/frcnn_r101_r18_luminet.py
STUDENT=configs/coco/frcnn_r18.py
ITERS=120
# What two cores need: small images, few RoIs, a short schedule
SMALL=(
    randomness.seed=0
    data_root="$DATA"
    train_cfg.max_iters=$ITERS
    train_cfg.val_interval=$ITERS
    default_hooks.checkpoint.interval=40
    default_hooks.logger.interval=10
    param_scheduler.0.end=20
    param_scheduler.1.end=$ITERS
    param_scheduler.1.milestones="[90,110]"
    train_dataloader.dataset.pipeline.2.scale="[(320,160),(320,200)]"
    val_dataloader.dataset.pipeline.1.scale="(320,192)"
    test_dataloader.dataset.pipeline.1.scale="(320,192)"
)

# What a model needs that starts from random weights instead of ImageNet's
from_scratch() {
    echo "$1.backbone.init_cfg=None" "$1.backbone.frozen_stages=-1" \
        "$1.backbone.norm_eval=False" "$1.train_cfg.rcnn.sampler.num=128"
}

step() { printf '\n=== %s: %s\n' "$(date +%T)" "$*"; }

# shellcheck disable=SC2046
train_teacher() {
    tools/dist_train.sh $STUDENT 2 --work-dir "$WORK/teacher" --cfg-options \
        "${SMALL[@]}" $(from_scratch model) model.backbone.depth=101 \
        model.backbone.style=caffe model.neck.in_channels="[256,512,1024,2048]" \
        model.data_preprocessor.mean="[103.53,116.28,123.675]" \
        model.data_preprocessor.std="[1.0,1.0,1.0]" \
        model.data_preprocessor.bgr_to_rgb=False
}

# shellcheck disable=SC2046
distil() {
    tools/dist_train.sh $MAIN 2 --work-dir "$WORK/luminet" "$@" --cfg-options \
        "${SMALL[@]}" $(from_scratch model.student) model.warmup=20 \
        model.teacher_ckpt="$WORK/teacher/iter_$ITERS.pth"
}

step 'ResNet-101, caffe style, alone'
train_teacher

step 'LumiNet, to be killed after its second checkpoint'
distil &
until [ -e "$WORK/luminet/iter_80.pth" ]; do sleep 1; done
sleep 5
pkill -KILL -f "tools/train.py $MAIN"
wait $! || step "killed, exit code $?"

step 'LumiNet, resumed'
distil --resume

step 'test: the distillation config, two processes'
tools/dist_test.sh $MAIN "$WORK/luminet/iter_$ITERS.pth" 2 \
    --work-dir "$WORK/test_distillation" --cfg-options "${SMALL[@]}"

step "test: the student's config"
python tools/test.py $STUDENT "$WORK/luminet/iter_$ITERS.pth" \
    --work-dir "$WORK/test_student" --cfg-options "${SMALL[@]}"

step "test: the student's config on the images it was trained on"
python tools/test.py $STUDENT "$WORK/luminet/iter_$ITERS.pth" \
    --work-dir "$WORK/test_on_train" --cfg-options "${SMALL[@]}" \
    test_dataloader.dataset.ann_file=annotations/instances_train2017.json \
    test_dataloader.dataset.data_prefix.img=train2017/ \
    test_evaluator.ann_file="$DATA/annotations/instances_train2017.json"

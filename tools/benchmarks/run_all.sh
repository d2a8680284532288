#!/usr/bin/env bash
# Measure everything and write a page of it: docs/benchmarks.md for a CPU,
# docs/benchmarks_cuda.md for a GPU. Let nothing else run.
# Usage: tools/benchmarks/run_all.sh [cpu|cuda]
set -euo pipefail
cd "$(dirname "$0")/../.."

DEVICE=${1:-cpu}
PAGE=docs/benchmarks.md
[ "$DEVICE" = cpu ] || PAGE=docs/benchmarks_$DEVICE.md
RESULTS=docs/results/benchmarks/$DEVICE
mkdir -p "$RESULTS"
trap 'rm -f "$PAGE.new"' EXIT

# measure NAME [OPTION ...]: one program's part of the page
measure() {
    local program=$1
    echo "benchmarks: $program" >&2
    python "tools/benchmarks/$program.py" --device "$DEVICE" \
        --json "$RESULTS/$program.json" "${@:2}" && echo
}

{
    echo '# Benchmarks'
    echo
    echo "What \`tools/benchmarks/run_all.sh $DEVICE\` printed. Contenders took turns in"
    echo 'one process, after a warm-up; columns "to" are ratios of medians.'
    echo
    measure loss
    measure scaling --plot "$RESULTS/scaling.png"
    echo "![Time and memory over size](${RESULTS#docs/}/scaling.png)"
    echo
    measure teacher configs/coco/frcnn_r101_r18_luminet.py
    measure step --runs 3 --memory
    if [ "$DEVICE" != cpu ]; then # at COCO's size, and where the time goes
        for dtype in float32 float16; do # mmcv's RoIAlign has no bfloat16
            for way in memory profile=luminet_mm; do
                measure step --size 800 1344 --dtype $dtype --$way \
                    --json "$RESULTS/step_coco_${dtype}_${way%%=*}.json" ||
                    echo "step --dtype $dtype --$way failed"
            done
        done
    fi
    measure methods configs/cifar100/{resnet8x4,resnet32x4_resnet8x4_{kd,luminet}}.py \
        --steps 3 --runs 15
    pair=configs/coco/frcnn_r101_r18
    measure methods configs/coco/frcnn_r18.py \
        ${pair}_{kd,luminet,luminet_box_rpn,luminet_box_rpn_pkd,fgfi,reviewkd}.py \
        tools/benchmarks/configs/*.py \
        --batch-size 2 --size 480 640 --steps 1 --runs 3 --memory \
        --json "$RESULTS/methods_detection.json"
    measure startup configs/coco/frcnn_r18.py ${pair}_luminet.py
} >"$PAGE.new"
mv "$PAGE.new" "$PAGE"
echo "benchmarks: wrote $PAGE" >&2

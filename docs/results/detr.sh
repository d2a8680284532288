#!/usr/bin/env bash
# A Conditional DETR of 3 + 3 layers on BCCD, and students of 1 + 1 layers that start from
# its first ones: alone, and by several methods. Its backbone starts from the teacher of
# docs/results/detection.sh, by whose default work dir the config finds it.
# Usage: docs/results/detr.sh FOLDER_OF_BCCD [WORK_DIR]
# SEEDS are 0 to 2. The same command goes on where it was interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
DATA=$(realpath "$1")
WORK=${2:-work_dirs/detr}
PAIR=(docs/results/detection/detr/conditional_{r18,slim}_bccd.py --coco "$DATA")
export OMP_NUM_THREADS=1

[ -e "$WORK/pair" ] ||
    luminet distill "${PAIR[@]}" --epochs 40 --work-dir "$WORK/pair" --dry-run
python tools/train.py "$WORK/pair/teacher.py" --work-dir "$WORK/teacher" --resume
python tools/test.py "$WORK/pair/teacher.py" "$WORK/teacher/epoch_40.pth" \
    --work-dir "$WORK/teacher/test"
for seed in ${SEEDS:-0 1 2}; do
    luminet distill "${PAIR[@]}" --epochs 10 --teacher-ckpt "$WORK/teacher/epoch_40.pth" \
        --alone --method kd luminet luminet_box --seed "$seed" \
        --work-dir "$WORK/seed$seed" --cfg-options load_from="$WORK/teacher/epoch_40.pth"
done

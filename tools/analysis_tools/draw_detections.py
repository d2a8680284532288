"""Draw what teacher and students find in the same images, beside the ground truth.

The images are spread evenly over the test set; the pixels of each model are those of
its own preprocessor. The picture goes to the backends of the config's visualizer as
'detections', and to --out as a file.
"""

import argparse
import os.path as osp

import cv2
import mmcv
from mmengine.runner import Runner

from luminet_mm.cfg_options import DictAction, load_run_cfg
from luminet_mm.checkpoints import use_safe_loading
from luminet_mm.checks import check_number
from luminet_mm.visualization import detections_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file of the distillation')
    parser.add_argument('checkpoint', help='checkpoint of the distilled student')
    parser.add_argument(
        '--student-ckpt',
        metavar='CHECKPOINT',
        help='checkpoint of the student trained alone',
    )
    parser.add_argument(
        '--num-images', type=int, default=4, help='images to show (default: 4)'
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='score above which a detection is shown (default: 0.3)',
    )
    parser.add_argument('--out', metavar='FILE', help='write the picture to this file')
    parser.add_argument('--work-dir', help='folder of logs and pictures')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings to override, e.g. model.teacher_ckpt=t.pth data_root=coco/',
    )
    args = parser.parse_args()
    try:
        check_number('--num-images', args.num_images, at_least=1, integer=True)
        check_number('--score-thr', args.score_thr, at_least=0, at_most=1)
    except ValueError as error:
        parser.error(str(error))
    for path in (args.checkpoint, args.student_ckpt):
        if path and not osp.isfile(path) and '://' not in path:
            parser.error(f'{path}: no such checkpoint')
    if args.out and not cv2.haveImageWriter(args.out):
        parser.error(f'--out {args.out}: a picture ends in .png or .jpg')
    return args


def main() -> None:
    args = parse_args()
    cfg = load_run_cfg(args.config, args.cfg_options)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    use_safe_loading()
    runner = Runner.from_cfg(cfg)
    try:
        picture = detections_of(
            runner,
            args.checkpoint,
            args.student_ckpt,
            args.num_images,
            args.score_thr,
        )
    except ValueError as error:
        raise SystemExit(str(error)) from None
    runner.visualizer.add_image('detections', picture)
    if args.out:
        mmcv.imwrite(picture[..., ::-1], args.out)
    print(f'detections: {args.out or runner.log_dir}')


if __name__ == '__main__':
    main()

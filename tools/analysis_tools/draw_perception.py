"""Draw the perceptions of teacher and student on a batch, before and after training.

The matrices of Figure 3 of the paper: rows are images, or what is distilled of a
detector (RoIs, priors), in the order of their labels; columns are classes. Both
pictures are of the same rows, those of the trained student, so that what differs is
the student.

The picture goes to the backends of the config's visualizer as 'perception', and to
--out as a file.
"""

import argparse
import os.path as osp

import cv2
import mmcv
from mmengine.runner import Runner

from luminet_mm.cfg_options import DictAction, load_run_cfg
from luminet_mm.checkpoints import use_safe_loading
from luminet_mm.checks import check_number
from luminet_mm.visualization import perceptions_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the distillation')
    parser.add_argument('checkpoint', help='checkpoint of the trained student')
    parser.add_argument(
        '--before',
        metavar='CHECKPOINT',
        help='an earlier one to compare with (default: the untrained student)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        help='images, spread evenly over the training set (default: as in training)',
    )
    parser.add_argument(
        '--max-rows', type=int, default=160, help='rows to show (default: 160)'
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
        check_number('--max-rows', args.max_rows, at_least=1, integer=True)
        if args.batch_size is not None:
            check_number('--batch-size', args.batch_size, at_least=1, integer=True)
    except ValueError as error:
        parser.error(str(error))
    for path in (args.checkpoint, args.before):
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
        picture = perceptions_of(
            runner, args.checkpoint, args.before, args.batch_size, args.max_rows
        )
    except ValueError as error:
        raise SystemExit(str(error)) from None
    runner.visualizer.add_image('perception', picture)
    if args.out:
        mmcv.imwrite(picture[..., ::-1], args.out)
    print(f'perception: {args.out or runner.log_dir}')


if __name__ == '__main__':
    main()

"""Draw what teacher and students find in the same images, beside the ground truth.

The images are spread evenly over the test set; the pixels of each model are those of
its own preprocessor. The picture goes to the backends of the config's visualizer as
'detections', and to --out as a file.
"""

import argparse
import os.path as osp

import cv2
import mmcv
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.fileio import get
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from luminet_mm.cfg_options import DictAction, load_run_cfg
from luminet_mm.checkpoints import check_fits, use_safe_loading
from luminet_mm.checks import check_number
from luminet_mm.distillers import LogitDistiller
from luminet_mm.visualization import detect, detect_by_teachers, draw_detections


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


def ground_truth(info: dict) -> InstanceData:
    """The boxes of an image as its annotation file has them, less ignored ones.

    Args:
        info (dict): What mmdet's data set knows of the image.

    Returns:
        InstanceData: Boxes in pixels of the file, shape (n, 4), and labels.
    """
    shown = [one for one in info.get('instances', ()) if not one['ignore_flag']]
    return InstanceData(
        bboxes=torch.tensor([one['bbox'] for one in shown]).reshape(-1, 4),
        labels=torch.tensor([one['bbox_label'] for one in shown], dtype=torch.long),
    )


def main() -> None:
    args = parse_args()
    cfg = load_run_cfg(args.config, args.cfg_options)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    use_safe_loading()
    runner = Runner.from_cfg(cfg)
    model = runner.model.eval()
    if not isinstance(model, LogitDistiller):
        raise SystemExit(
            f'{args.config}: model is a {type(model).__name__}, and only a '
            'LogitDistiller has a teacher; name the config of a distillation'
        )
    model.build_teachers()
    dataset = runner.build_dataloader(cfg.test_dataloader).dataset
    indices = np.linspace(0, len(dataset) - 1, args.num_images).astype(int).tolist()
    infos = [dataset.get_data_info(index) for index in indices]
    columns = {'ground truth': [ground_truth(info) for info in infos]}
    # one by one, as padding to a common size would change what is found
    batches = [pseudo_collate([dataset[index]]) for index in indices]
    batches = [model.data_preprocessor(batch, False) for batch in batches]
    by_image = [detect_by_teachers(model, **batch) for batch in batches]
    for title in by_image[0]:
        columns[title] = [found[title][0] for found in by_image]
    checkpoints = {'distilled student': args.checkpoint}
    if args.student_ckpt:
        checkpoints = {'student alone': args.student_ckpt, **checkpoints}
    for title, checkpoint in checkpoints.items():
        loaded = runner.load_checkpoint(checkpoint)
        check_fits(model, loaded, checkpoint, args.config)
        columns[title] = [detect(model.student, **batch)[0] for batch in batches]
    picture = draw_detections(
        [mmcv.imfrombytes(get(i['img_path']), channel_order='rgb') for i in infos],
        columns,
        dataset.metainfo.get('classes'),
        dataset.metainfo.get('palette'),
        args.score_thr,
    )
    runner.visualizer.add_image('detections', picture)
    if args.out:
        mmcv.imwrite(picture[..., ::-1], args.out)
    print(f'detections: {args.out or runner.log_dir}')


if __name__ == '__main__':
    main()

"""Measure what a training step costs with each method, as the paper's Table 3 does.

Every config's model takes whole steps (forward, backward, SGD) on the same batch of
random pixels that lies on the device; teachers have random weights. All run in one
process and in turn, so that what else the machine does meets them alike. The first
config is what the others are compared with, usually the student alone.
"""

import argparse
import os.path as osp
import statistics
import tempfile
import time
from typing import Callable, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

from luminet_mm.config import load_model_cfg
from luminet_mm.registry import MODELS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+', help='classification configs')
    parser.add_argument('--device', default='cpu', help='e.g. cuda (default: cpu)')
    parser.add_argument('--batch-size', type=int, default=64, help='default: 64')
    parser.add_argument(
        '--image-size', type=int, default=32, help='side in pixels (default: 32)'
    )
    parser.add_argument(
        '--steps', type=int, default=10, help='steps of a run (default: 10)'
    )
    parser.add_argument(
        '--runs',
        type=int,
        default=7,
        help='measured runs of each, after one more that is not (default: 7)',
    )
    return parser.parse_args()


def build_run(
    args: argparse.Namespace, config: str
) -> Tuple[Callable[[], float], int, int]:
    """Build one method.

    Args:
        args (argparse.Namespace): The command line.
        config (str): Path of the config, of one teacher at the most.

    Returns:
        tuple: A function that takes ``args.steps`` steps and returns the
        milliseconds of one; the student's number of parameters; the number that is
        trained beside them.
    """
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    model = cfg.model
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with tempfile.TemporaryDirectory() as folder:
        if 'teacher' in model:
            model.teacher_ckpt = osp.join(folder, 'teacher.pth')
            teacher = MODELS.build(load_model_cfg(model.teacher, 'model.teacher'))
            torch.save(teacher.state_dict(), model.teacher_ckpt)
        torch.manual_seed(0)
        model = MODELS.build(model)
        model.init_weights()
    model.to(args.device).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    optim = OptimWrapper(sgd)
    size = (args.batch_size, 3, args.image_size, args.image_size)
    data = dict(
        inputs=torch.randint(256, size, dtype=torch.uint8, device=args.device),
        data_samples=[DataSample().set_gt_label(i % 10) for i in range(size[0])],
    )

    def run() -> float:
        start = time.perf_counter()
        for _ in range(args.steps):
            model.train_step(data, optim)
        if args.device.startswith('cuda'):
            torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - start) / args.steps

    student = getattr(model, 'student', model)
    num_student = sum(p.numel() for p in student.parameters())
    num_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return run, num_student, num_trained - num_student


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('methods', log_level='WARNING')
    names = [osp.splitext(osp.basename(config))[0] for config in args.configs]
    built = [build_run(args, config) for config in args.configs]
    for run, _, _ in built:
        run()
    # in turn: each round takes every method once
    rounds = [[run() for run, _, _ in built] for _ in range(args.runs)]
    milliseconds = list(zip(*rounds))

    print(
        f'batches of {args.batch_size} on {args.device}, {torch.get_num_threads()} '
        f'threads, median of {args.runs} runs of {args.steps} steps'
    )
    print('| config | ms/batch | fastest | ratio | parameters | extra |')
    print('|---|---|---|---|---|---|')
    first = statistics.median(milliseconds[0])
    for name, times, (_, num_student, extra) in zip(names, milliseconds, built):
        median = statistics.median(times)
        print(
            f'| {name} | {median:.1f} | {min(times):.1f} | {median / first:.2f} '
            f'| {num_student / 1e6:.2f} M | {extra / 1e6:.2f} M |'
        )


if __name__ == '__main__':
    main()

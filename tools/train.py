"""Train a detector or a classifier, with or without distillation."""

import argparse
import os
import os.path as osp

from mmengine.config import Config
from mmengine.registry import RUNNERS

from luminet_mm.cfg_options import DictAction, load_run_cfg
from luminet_mm.checkpoints import use_safe_checkpoints
from luminet_mm.compat import setup_cpu_distributed
from luminet_mm.config import load_whole_cfg
from luminet_mm.loggers import LOGGERS, log_to
from luminet_mm.run_checks import check_run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument(
        '--amp', action='store_true', help='train in automatic mixed precision'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by batch size / auto_scale_lr.base_batch_size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from a checkpoint, or without a value from the latest one in '
        'the work dir',
    )
    parser.add_argument(
        '--logger',
        action='append',
        choices=[*LOGGERS],
        help='log there, too, in the work dir; may be given several times',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings to override, e.g. model.teacher_ckpt=t.pth data_root=coco/',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started; tools/dist_train.sh sets it',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    if args.resume not in (None, 'auto') and not (
        osp.exists(args.resume) or '://' in args.resume
    ):
        parser.error(f'--resume {args.resume}: no such checkpoint')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def keep_workers(cfg: Config) -> None:
    """Let workers live as long as the run, as mmpretrain's own tool does: those that
    start anew in each epoch draw the same random numbers in each."""
    for mode in ('train', 'val', 'test'):
        loader = cfg.get(f'{mode}_dataloader')
        if loader and loader.get('num_workers'):
            loader.setdefault('persistent_workers', True)


def main() -> None:
    args = parse_args()
    cfg = load_run_cfg(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)

    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'--auto-scale-lr: {args.config} sets no auto_scale_lr.base_batch_size,'
                ' the batch size that its learning rate was chosen for'
            )
        cfg.auto_scale_lr.enable = True

    for logger in args.logger or ():
        log_to(cfg, logger)
    keep_workers(cfg)
    check_run(cfg, 'train')
    # for the work dir: a config that needs no other file, which may change
    whole = load_whole_cfg(cfg)
    use_safe_checkpoints(cfg, args.resume)
    setup_cpu_distributed(cfg)
    runner = RUNNERS.build(cfg)
    runner.cfg = whole
    runner.dump_config()
    runner.train()


if __name__ == '__main__':
    main()

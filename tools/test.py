"""Test a checkpoint with the metrics of its config.

A checkpoint of a distilled student is an ordinary one: CONFIG may be the
distillation's config or the plain student's.
"""

import argparse
import os
import os.path as osp
from contextlib import suppress

from mmengine.config import Config, ConfigDict
from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from luminet_mm.cfg_options import DictAction, load_run_cfg
from luminet_mm.checkpoints import check_fits, use_safe_loading
from luminet_mm.compat import setup_cpu_distributed
from luminet_mm.config import innermost_dataset, load_whole_cfg
from luminet_mm.run_checks import check_run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder of logs and metrics')
    parser.add_argument('--out', help='dump the predictions to this .pkl file')
    parser.add_argument(
        '--show', action='store_true', help='show the predictions in a window'
    )
    parser.add_argument(
        '--show-dir', help='save painted images to this folder of the work dir'
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that --show waits'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings to override, e.g. data_root=coco/',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started; tools/dist_test.sh sets it',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation by the config's tta_model and tta_pipeline",
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        parser.error(f'--out {args.out}: the file must end in .pkl or .pickle')
    if not osp.isfile(args.checkpoint) and '://' not in args.checkpoint:
        parser.error(f'{args.checkpoint}: no such checkpoint')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def show_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Turn on the visualization hook of the config."""
    if 'visualization' not in cfg.get('default_hooks', {}):
        raise ValueError(
            f'--show and --show-dir need default_hooks.visualization, which '
            f'{args.config} does not set'
        )
    hook = cfg.default_hooks.visualization
    name = getattr(hook.type, '__name__', hook.type)
    detection = name.endswith('DetVisualizationHook')
    hook['draw' if detection else 'enable'] = True
    hook.show = args.show
    hook.wait_time = args.wait_time
    if args.show_dir:
        hook['test_out_dir' if detection else 'out_dir'] = args.show_dir


def use_tta(cfg: Config, args: argparse.Namespace) -> None:
    """Wrap the model and replace the test pipeline."""
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise ValueError(
            f'--tta needs tta_model and tta_pipeline, which {args.config} does not '
            'set; inherit them from the config that the model comes from'
        )
    innermost_dataset(cfg.test_dataloader.dataset).pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


class StrictHook(Hook):
    """Refuses a checkpoint that is not of the model: its rest would be random."""

    priority = 'VERY_LOW'  # other hooks may change what is loaded

    def __init__(self, filename: str) -> None:
        self.filename = filename

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Load the weights as the runner is about to, and look what does not fit."""
        check_fits(runner.model, checkpoint, self.filename, runner.cfg.filename)


def main() -> None:
    args = parse_args()
    cfg = load_run_cfg(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    start = dict(load_from=cfg.get('load_from'), resume=cfg.get('resume', False))
    cfg.load_from, cfg.resume = args.checkpoint, False
    # FlexibleRunner would build the teachers as well
    cfg.setdefault('init_weights_for_test_or_val', False)
    check_run(cfg, 'test')
    if args.show or args.show_dir:
        show_predictions(cfg, args)
    if args.tta:
        use_tta(cfg, args)

    use_safe_loading()
    setup_cpu_distributed(cfg)
    runner = RUNNERS.build(cfg)
    runner.register_hook(StrictHook(args.checkpoint))
    # it takes the place of what a training may have left in this work dir
    with suppress(ValueError):  # a teacher is not needed here, nor its config
        runner.cfg = load_whole_cfg(runner.cfg)
    runner.cfg.merge_from_dict(start)
    runner.dump_config()
    if args.out:
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    runner.test()


if __name__ == '__main__':
    main()

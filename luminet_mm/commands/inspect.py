"""Draw what a training did: perceptions, detections, curves.

CONFIG is a distillation's, or a plain model's, which has no teacher to be compared
with. Curves are those of the logs beside the checkpoints. A picture that cannot be
drawn is told in a line, and the others are.
"""

import argparse
import contextlib
import io
import os
import os.path as osp
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Callable, Union

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

from ..cfg_options import DictAction, load_run_cfg
from ..checkpoints import use_safe_loading
from ..checks import check_number
from ..distillers import BaseDistiller
from ..logs import read_validations
from ..visualization import curves_of, detections_of, perceptions_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the tools that draw one picture each, as far as several share them."""
    parser.usage = 'luminet inspect CONFIG CKPT [OPTION ...]'
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config of the training')
    add('checkpoint', metavar='CKPT', help='checkpoint of the (distilled) student')
    add('--student-ckpt', metavar='CKPT', help='that of the student trained alone')
    add('--before', metavar='CKPT', help='an earlier one (default: untrained)')
    add('--num-images', type=int, default=4, metavar='N', help='of detections: 4')
    add('--score-thr', type=float, default=0.3, metavar='X', help='of detections: 0.3')
    add('--out', metavar='DIR', help='default: `pictures` beside CKPT')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')


def run(args: argparse.Namespace) -> None:
    """Draw each picture, and say where it is.

    Raises:
        ValueError: For arguments that cannot be meant, or if nothing was drawn.
    """
    check_number('--num-images', args.num_images, at_least=1, integer=True)
    check_number('--score-thr', args.score_thr, at_least=0, at_most=1)
    for path in (args.checkpoint, args.student_ckpt, args.before):
        if path and not osp.isfile(path) and '://' not in path:
            raise ValueError(f'{path}: no such checkpoint')
    cfg = load_run_cfg(args.config, args.cfg_options)
    beside = '' if '://' in args.checkpoint else osp.dirname(args.checkpoint)
    out = args.out or osp.join(beside, 'pictures')
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise ValueError(f'--out {out} cannot be made: {error}') from None
    with tempfile.TemporaryDirectory() as folder:
        runner = _quiet_runner(cfg, folder)
        ckpt, alone = args.checkpoint, args.student_ckpt
        shown = args.num_images, args.score_thr
        pictures = dict(
            perception=partial(perceptions_of, runner, ckpt, args.before),
            detections=partial(detections_of, runner, ckpt, alone, *shown),
            curves=partial(_curves, isinstance(runner.model, BaseDistiller), args),
        )
        drawn = [_draw(name, draw, out) for name, draw in pictures.items()]
    if not any(drawn):
        raise ValueError('nothing was drawn')


def _quiet_runner(cfg: Config, folder: str) -> Runner:
    """A runner that tells no logger of the config, and writes to a folder alone."""
    cfg.pop('visualizer', None)
    cfg.merge_from_dict(dict(work_dir=folder, log_level='ERROR', launcher='none'))
    use_safe_loading()
    return Runner.from_cfg(cfg)


def _curves(is_distilled: bool, args: argparse.Namespace) -> 'Figure':
    found = {'distilled student' if is_distilled else 'training': args.checkpoint}
    if args.student_ckpt:
        found['student alone'] = args.student_ckpt
    dirs = {name: osp.dirname(osp.abspath(path)) for name, path in found.items()}
    dirs = {name: path for name, path in dirs.items() if read_validations(path)}
    if not dirs:
        raise ValueError(f'no log of a validation beside {" or ".join(found.values())}')
    return curves_of([*dirs.values()], [*dirs])


def _draw(name: str, draw: Callable[[], Union[np.ndarray, 'Figure']], out: str) -> bool:
    """Draw one picture, and say where it is or why it is not."""
    path = osp.join(out, f'{name}.png')
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # data sets greet
            picture = draw()
        if hasattr(picture, 'savefig'):
            picture.savefig(path)
        else:
            mmcv.imwrite(picture[..., ::-1], path)
    except Exception as error:  # models, data sets and downloads have their own
        kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
        print(f'{name}: not drawn. {kind}{error}')
        return False
    print(f'{name}: {path}', flush=True)
    return True

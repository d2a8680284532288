"""The whole configs of a distillation's trainings."""

import math
import os
import re
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config, ConfigDict

from ..cfg_options import load_run_cfg
from ..config import load_cfg, load_whole_cfg
from .data import Data, num_shown
from .methods import load_method, task_of

# Of a run whose epochs are changed: what counts them, beside the loop and the schedule
KEYS_OF_HOOKS = ('num_last_epochs', 'switch_epoch', 'stop_epoch')
# What :func:`plain_cfg` sets itself
FITTED = (
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
    'val_evaluator',
    'test_evaluator',
    'custom_hooks',
    'randomness',
)
# Epochs on a data set of one's own, whose configs count those of COCO or ImageNet
EPOCHS = dict(two_stage=24, dense=24, images=50, small_images=100)
SHORT = 60  # epochs, below which a published warm-up is too short, see `_warmup`


def plain_cfg(
    name: str,
    options: Dict[str, Any],
    data: Optional[Data] = None,
    epochs: Optional[int] = None,
    batch_size: Optional[int] = None,
    gpus: int = 1,
    seed: int = 0,
) -> Config:
    """The config of a model's own training.

    Args:
        name (str): ``package::path.py`` of a model zoo, or a config file.
        options (dict): As ``--cfg-options``.
        data (Data, optional): What it is trained on. Defaults to None, what the config
            says.
        epochs (int, optional): Length; the schedule keeps its shape. Defaults to None,
            for data of one's own :data:`EPOCHS`, else as the config says.
        batch_size (int, optional): Images a step on one GPU. Defaults to None, as the
            config says.
        gpus (int): Processes, which the learning rate depends on. Defaults to 1.
        seed (int): Of the training. Defaults to 0.

    Returns:
        Config: One that ``tools/train.py`` and upstream's tools train.

    Raises:
        ValueError: If it cannot be read, trains no single classifier or detector, or
            does not fit the data.
    """
    cfg = load_run_cfg(name, options)
    for key in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'):
        if not cfg.get(key):
            raise ValueError(f'{name} sets no {key}, so it trains nothing')
    if cfg.model.get('student'):
        raise ValueError(f'{name} is a distillation already; name the plain models')
    if data is not None:
        is_detector = 'head' not in cfg.model
        if is_detector != data.has_boxes:
            kind = (
                'detector, which --coco gives'
                if is_detector
                else 'classifier, which --images gives'
            )
            raise ValueError(f'{data.option} {data.root}: {name} is a {kind} its data')
        data.put_into(cfg)
        _set_classes(cfg, data)
        if 'max_epochs' in cfg.train_cfg:
            if not {'max_epochs', 'train_cfg.max_epochs'} & {*options}:
                epochs = epochs or EPOCHS[task_of(cfg)]
        elif not epochs and 'train_cfg.max_iters' not in options:
            raise ValueError(
                f'{name} counts iterations, {cfg.train_cfg.max_iters} of its own data; '
                'say how many of yours by --cfg-options train_cfg.max_iters=N'
            )
    if batch_size:
        cfg.train_dataloader.batch_size = batch_size
    for mode in ('train', 'val', 'test'):
        loader = cfg.get(f'{mode}_dataloader') or {}
        loader['num_workers'] = min(loader.get('num_workers', 0), os.cpu_count() or 1)
        # workers that start anew in each epoch draw the same numbers in each
        loader['persistent_workers'] = bool(loader['num_workers'])
    _scale_learning_rate(cfg, name, gpus)
    if epochs:
        _set_epochs(cfg, epochs)
    if data is not None:
        num_samples = num_shown(cfg, data)
        together = cfg.train_dataloader.batch_size * gpus
        if cfg.train_dataloader.get('drop_last') and num_samples < together:
            raise ValueError(
                f'{data.option} {data.root}: its {num_samples} images do not fill a '
                f'batch of {together}, and {name} drops what is left over; set '
                '--batch-size'
            )
        num_iterations = iterations(cfg, num_samples, gpus)
        _shorten_warmup(cfg, num_iterations)
        _shorten_average(cfg, num_iterations)
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    # what is asked for comes before what was made of the rest
    asked = {k: v for k, v in options.items() if k.split('.')[0] in FITTED}
    cfg.merge_from_dict(asked)
    return cfg


def distilled_cfg(
    student: str,
    teacher: str,
    teacher_ckpt: str,
    method: str,
    options: Dict[str, Any],
    num_samples: int,
    student_dir: str,
    gpus: int = 1,
) -> Config:
    """The config of a distillation, which needs no other file.

    Args:
        student (str): Config file of the student alone.
        teacher (str): Config file of the teacher.
        teacher_ckpt (str): Its weights.
        method (str): See :func:`load_method`.
        options (dict): As ``--cfg-options``, those of ``model``.
        num_samples (int): Images of the training set.
        student_dir (str): Work dir of the student alone, to compare with.
        gpus (int): Processes, which the number of iterations depends on. Defaults to 1.

    Returns:
        Config: The student's run with a distiller as its model.

    Raises:
        ValueError: If there is no such method for this student.
    """
    cfg = load_cfg(student, 'student')
    task = task_of(cfg)
    settings = load_method(method, task)
    cfg.model = ConfigDict(
        type='luminet_mm.LogitDistiller',
        student=dict(cfg_path=student),
        teacher=dict(cfg_path=teacher, init_cfg=None),  # its checkpoint has all
        teacher_ckpt=teacher_ckpt,
    )
    cfg.merge_from_dict(dict(model=settings.to_dict()))
    cfg.load_from = None  # it is the student's, where it has the student's names
    for loss in cfg.model.distill_losses.values():
        if loss.type.endswith('CRDLoss'):
            loss.num_samples = num_samples
    _set_warmup(cfg, task, iterations(cfg, num_samples, gpus))
    watching = (
        dict(type='luminet_mm.ZeroLossHook'),
        dict(type='luminet_mm.ComparisonHook', student_dir=student_dir),
    )
    own = {hook['type'] for hook in watching}
    hooks = [h for h in cfg.get('custom_hooks') or () if h['type'] not in own]
    cfg.custom_hooks = [*hooks, *watching]
    cfg = load_whole_cfg(cfg)
    cfg.merge_from_dict(options)
    return cfg


def length(cfg: Config) -> int:
    """Epochs of a run, or iterations where its loop counts these."""
    return cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters


def batches(cfg: Config, num_samples: int, gpus: int = 1) -> int:
    """Iterations of an epoch."""
    return max(1, math.ceil(num_samples / (cfg.train_dataloader.batch_size * gpus)))


def iterations(cfg: Config, num_samples: int, gpus: int = 1) -> int:
    """Iterations of a run."""
    by_epoch = 'max_epochs' in cfg.train_cfg
    return length(cfg) * (batches(cfg, num_samples, gpus) if by_epoch else 1)


# ------------------------------------------------------------------------ details
def _set_classes(cfg: Config, data: Data) -> None:
    """Give heads, preprocessor and losses the number of the data's classes."""
    counts = [value for _, value in _counts_of_classes(cfg.model)]
    if not counts:
        raise ValueError(
            f'{cfg.filename}: nothing in the model has num_classes, so it cannot be '
            f'fitted to {len(data.classes)} classes; name another model'
        )
    before = max(counts)
    for part in (cfg.model, cfg.get('data_preprocessor') or {}):
        for holder, value in list(_counts_of_classes(part)):
            if value == before:
                holder['num_classes'] = len(data.classes)
    head = cfg.model.get('head') or {}
    if isinstance(head, dict) and 'topk' in head:
        head['topk'] = (1, 5) if len(data.classes) > 5 else (1,)


def _counts_of_classes(part: Any) -> Iterator[tuple]:
    """Each dict in a config that has ``num_classes``, and its value."""
    if isinstance(part, dict):
        if isinstance(part.get('num_classes'), int):
            yield part, part['num_classes']
        for each in list(part.values()):
            yield from _counts_of_classes(each)
    elif isinstance(part, (list, tuple)):
        for each in part:
            yield from _counts_of_classes(each)


def _scale_learning_rate(cfg: Config, name: str, gpus: int) -> None:
    """By the linear rule, where the config says for which batch its rate was chosen.

    mmdet's say it in their names as well, and by these where they differ: RTMDet's,
    made for 8 x 32 images, inherit the 16 of Faster R-CNN.
    """
    auto = cfg.get('auto_scale_lr') or {}
    base = auto.get('base_batch_size')
    named = re.search(r'_(\d+)xb(\d+)', name) if name.startswith('mmdet::') else None
    if base and named:
        base = int(named[1]) * int(named[2])
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    if base and 'lr' in optimizer:
        factor = cfg.train_dataloader.batch_size * gpus / base
        optimizer['lr'] = float(f'{optimizer["lr"] * factor:.6g}')
        for part in _schedule(cfg):
            if part.get('eta_min') and str(part.get('type')).endswith('LR'):
                part['eta_min'] = float(f'{part["eta_min"] * factor:.6g}')
        auto['base_batch_size'] = cfg.train_dataloader.batch_size * gpus
        auto['enable'] = False


def _set_epochs(cfg: Config, epochs: int) -> None:
    """Change the length of a run; whatever counts epochs keeps its share of it."""
    loop = cfg.train_cfg
    if 'max_iters' in loop:
        raise ValueError(
            f'--epochs {epochs}: {cfg.filename} counts iterations; set them by '
            '--cfg-options train_cfg.max_iters=N'
        )
    before = loop.max_epochs
    if epochs == before:
        return
    ratio = epochs / before

    def scaled(value: int) -> int:
        return max(1, round(value * ratio))

    loop.max_epochs = epochs
    loop.val_interval = min(scaled(loop.get('val_interval', 1)), epochs)
    if loop.get('dynamic_intervals'):
        loop.dynamic_intervals = [
            (scaled(start), interval) for start, interval in loop.dynamic_intervals
        ]
    for part in _schedule(cfg):
        if part.get('by_epoch', True):
            _scale_schedule(part, ratio, epochs)
    for hook in cfg.get('custom_hooks') or ():
        for key in KEYS_OF_HOOKS:
            if isinstance(hook.get(key), int):
                hook[key] = scaled(hook[key])
        if hook.get('schedule'):  # SwitchRecipeHook
            for recipe in hook.schedule:
                recipe.action_epoch = scaled(recipe.action_epoch)
            # of those that now begin in one epoch the last counts
            recipes = {recipe.action_epoch: recipe for recipe in hook.schedule}
            hook.schedule = list(recipes.values())


def _scale_schedule(part: dict, ratio: float, epochs: int) -> None:
    for key in ('begin', 'end', 'T_max'):
        if isinstance(part.get(key), (int, float)) and math.isfinite(part[key]):
            part[key] = round(part[key] * ratio)
    if 'end' in part:
        part['end'] = max(part['end'], part.get('begin', 0) + 1)
    if 'milestones' in part:
        milestones = {max(1, round(m * ratio)) for m in part['milestones']}
        part['milestones'] = sorted(milestones)
    if 'step_size' in part:
        step = part['step_size'] * ratio
        part['step_size'] = max(1, round(step))
        if step < 1:
            part['gamma'] = part.get('gamma', 0.1) ** (1 / step)
    elif part.get('type') == 'ExponentialLR':
        part['gamma'] = part['gamma'] ** (1 / ratio)


def _shorten_warmup(cfg: Config, num_iterations: int) -> None:
    """End a warm-up of the learning rate that counts iterations after an eighth of the
    run: the zoo's are chosen for larger data sets and would outlast a short run."""
    for part in _schedule(cfg):
        counts_iterations = not part.get('by_epoch', True)
        rises = 'start_factor' in part or 'factor' in part  # LinearLR, ConstantLR
        if counts_iterations and rises and not part.get('begin') and 'end' in part:
            part['end'] = min(part['end'], max(num_iterations // 8, 1))


def _shorten_average(cfg: Config, num_iterations: int) -> None:
    """Have an average of the weights forget the first ones: zoos choose its momentum
    for hundreds of thousands of iterations, and what it averages is what is saved."""
    plain = 'ExponentialMovingAverage'  # mmdet's ExpMomentumEMA forgets them by itself
    for hook in cfg.get('custom_hooks') or ():
        is_average = str(hook.get('type')).endswith('EMAHook')
        if is_average and hook.get('ema_type', plain) == plain:
            updates = max(num_iterations // hook.get('interval', 1), 1)
            least = min(10 / updates, 1.0)
            hook['momentum'] = max(hook.get('momentum', 0.0002), least)


def _schedule(cfg: Config) -> List[dict]:
    """The schedulers of a run."""
    schedule = cfg.get('param_scheduler') or []
    return [schedule] if isinstance(schedule, dict) else schedule


def _set_warmup(cfg: Config, task: str, num_iterations: int) -> None:
    """Fit the warm-up of the distillation to the length of the run.

    Those of methods are published for runs of 240 epochs of CIFAR-100 or 100 of
    ImageNet. In short ones from random weights a quarter of the run gains most
    (docs/results/classification.md). A detector's is counted in iterations, as its RPN
    or its new class layer needs some before anything can be taught.
    """
    model, total = cfg.model, length(cfg)
    if task in ('images', 'small_images'):
        if model.get('warmup'):
            share = 1 / 100
            if task == 'small_images':
                share = 20 / 240 if total >= SHORT else 0.25
            model.warmup = max(1, round(total * share))
    elif 'warmup' not in model:
        model.warmup = max(1, min(1000, num_iterations // 8))
        model.warmup_by_epoch = False


def first_difference(old: Config, new: Config) -> Optional[str]:
    """The first key in which two configs differ, or None."""
    return next(_differences(old.to_dict(), new.to_dict(), ''), None)


def _differences(old: Any, new: Any, key: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}, key=str):
            nothing = object()
            yield from _differences(
                old.get(name, nothing),
                new.get(name, nothing),
                f'{key}.{name}'.strip('.'),
            )
    elif old != new and _as_list(old) != _as_list(new):
        yield key


def _as_list(value: Any) -> Any:
    """A tuple as the list that a file may hold in its place."""
    return [_as_list(v) for v in value] if isinstance(value, (list, tuple)) else value

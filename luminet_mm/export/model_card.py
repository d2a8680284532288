"""A model card: what an exported file is, as far as its config, checkpoint and work dir
say it."""

import hashlib
import os.path as osp
import platform
from importlib import metadata
from numbers import Real
from typing import Dict, Iterable, List, Optional, Tuple

import torch
from mmengine.config import Config, ConfigDict

from ..config import named_models
from ..distillers.building import name_of, num_params
from ..logs import read_unit, read_validations
from ..version import __version__
from .student import Student

VERSIONS = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'onnx', 'onnxruntime')
EXAMPLES = dict(
    onnx="""import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({name!r})
images = np.zeros({shape}, np.uint8)  # RGB
{outputs} = session.run(None, dict(images=images))
""",
    torchscript="""import torch
import torchvision  # its operators

model = torch.jit.load({name!r})
images = torch.zeros({shape}, dtype=torch.uint8)  # RGB
{outputs} = model(images)
""",
)


def model_card(
    student: Student,
    name: str,
    what: List[str],
    example: str,
    checked: str,
    command: Optional[str],
) -> str:
    """Write a model card.

    Nothing is said that is not known.

    Args:
        student (Student): The student.
        name (str): Name of the exported file.
        what (list[str]): What the file is and what goes in and out, an item each.
        example (str): How it is run, in Python; '' for none.
        checked (str): What it was compared with, and the outcome.
        command (str, optional): The command that exported it.

    Returns:
        str: Markdown.
    """
    sections = [
        (None, _items(what)),
        ('Run it', _code(example, 'python')),
        ('Student', _items(_student(student))),
        ('Teacher', _items(_teachers(student.cfg))),
        ('Method', _method(student.cfg)),
        ('Data', _items(_data(student))),
        ('Numbers', _numbers(student)),
        ('Checked', checked + '\n'),
        ('Versions', _items(_versions(student.checkpoint))),
        ('Command', _code(command, 'sh')),
    ]
    parts = [f'# {name}\n']
    for title, text in sections:
        if text:
            parts.append(f'## {title}\n\n{text}' if title else text)
    return '\n'.join(parts)


def example_of(
    format: str, name: str, shape: Iterable[int], outputs: Tuple[str, ...]
) -> str:
    """How a file is run, in Python.

    Args:
        format (str): 'onnx' or 'torchscript'.
        name (str): The file's name.
        shape (Iterable[int]): Shape of a batch of images.
        outputs (tuple[str, ...]): Names of what comes out.

    Returns:
        str: Some lines of code.
    """
    single = format == 'onnx' and len(outputs) == 1
    names = '(logits,)' if single else ', '.join(outputs)
    return EXAMPLES[format].format(name=name, shape=tuple(shape), outputs=names)


def sha256_of(path: str) -> Optional[str]:
    """The sha256 of a file, or None where there is none of that name."""
    if not osp.isfile(path):
        return None
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def _items(lines: Iterable[str]) -> str:
    return ''.join(f'- {line}\n' for line in lines)


def _code(text: Optional[str], language: str) -> str:
    return f'```{language}\n{text.rstrip()}\n```\n' if text else ''


def _file(path: str) -> str:
    digest = sha256_of(path)
    return f'`{path}`' + (f', sha256 `{digest}`' if digest else '')


def _name(model: dict) -> str:
    """What a model is called; files as seen from here, not by a machine's folders."""
    name = name_of(model)
    return osp.relpath(name) if osp.isfile(name) else name


def _student(student: Student) -> List[str]:
    cfg, meta = student.cfg, _meta(student.checkpoint)
    lines = [f'{type(student.model).__name__}, config `{student.config}`']
    if cfg.model.get('student'):
        lines[0] += f', student `{_name(cfg.model.student)}`'
    lines[0] += f', {num_params_of(student) / 1e6:.2f} M parameters'
    lines.append(f'checkpoint {_file(student.ckpt)}')
    units = (('epoch', 'epochs'), ('iter', 'iterations'))
    seen = [f'{meta[key]} {unit}' for key, unit in units if meta.get(key)]
    if seen:
        lines.append(f'trained for {", ".join(seen)}')
    if student.is_averaged is not None:
        average = 'averaged over the training (EMA)'
        lines.append(
            f'weights {average if student.is_averaged else "as trained, not averaged"}'
        )
    return lines


def num_params_of(student: Student) -> int:
    """Number of a student's parameters."""
    return num_params(student.model) + num_params(student.model, trained=False)


def _teachers(cfg: Config) -> List[str]:
    names = [
        _name(model)
        for key, model in named_models(cfg)
        if key.startswith('model.teacher')
    ]
    ckpts = cfg.model.get('teacher_ckpt')
    ckpts = list(ckpts) if isinstance(ckpts, (list, tuple)) else [ckpts] * len(names)
    return [
        f'`{name}`' + (f', checkpoint {_file(ckpt)}' if ckpt else '')
        for name, ckpt in zip(names, ckpts)
    ]


def _method(cfg: Config) -> str:
    losses = cfg.model.get('distill_losses') or {}
    known = ('warmup', 'warmup_by_epoch', 'stop_epoch', 'stop_iter', 'source')
    settings = {key: cfg.model[key] for key in known if key in cfg.model}
    if not losses:
        return ''
    lines = [f'`{name}`: `{_plain(loss)}`' for name, loss in losses.items()]
    lines += [f'`{key}`: `{_plain(value)}`' for key, value in settings.items()]
    return f'Distillation by {cfg.model.get("type")}:\n\n{_items(lines)}'


def _plain(value: object) -> object:
    return value.to_dict() if isinstance(value, ConfigDict) else value


def _data(student: Student) -> List[str]:
    lines = []
    dataset = student.dataset('train_dataloader')
    if dataset.get('type'):
        keys = ('data_root', 'ann_file', 'data_prefix', 'split')
        places = [f'{key} `{_plain(dataset[key])}`' for key in keys if dataset.get(key)]
        lines.append(', '.join([f'trained on {dataset["type"]}', *places]))
    if student.classes:
        lines.append(
            f'{len(student.classes)} classes, in the order of the outputs: '
            f'{", ".join(map(str, student.classes))}'
        )
    return lines


def _numbers(student: Student) -> str:
    """Metrics of these weights in the run's own validation."""
    if student.is_averaged is False:
        return ''  # the average was validated
    work_dir = osp.dirname(osp.abspath(student.ckpt))
    validations = read_validations(work_dir)
    meta = _meta(student.checkpoint)
    unit = read_unit(work_dir)
    step = meta.get('epoch' if unit == 'epoch' else 'iter')
    if step in validations:
        metrics, when = validations[step], f'Validation after {unit} {step}'
    else:
        metrics = _remembered(student.checkpoint)
        when = 'The last validation that the checkpoint remembers'
    if not metrics:
        return ''
    lines = [f'{name}: {value:.6g}' for name, value in metrics.items()]
    return f'{when}, as logged:\n\n{_items(lines)}'


def _remembered(checkpoint: dict) -> Dict[str, float]:
    """The last value of each metric in the logs that a checkpoint holds."""
    hub = checkpoint.get('message_hub')
    scalars = hub.get('log_scalars') if isinstance(hub, dict) else None
    found = {}
    for name, buffer in (scalars or {}).items():
        if name.startswith('val/') and '/' in name[len('val/') :]:
            history = (
                buffer.get('_log_history')
                if isinstance(buffer, dict)
                else getattr(buffer, '_log_history', None)
            )
            if history is not None and len(history):
                found[name[len('val/') :]] = float(history[-1])
    return {name: value for name, value in found.items() if isinstance(value, Real)}


def _versions(checkpoint: dict) -> List[str]:
    trained = _meta(checkpoint)
    lines = []
    if trained.get('mmengine_version'):
        when = f', {trained["time"]}' if trained.get('time') else ''
        lines.append(f'trained with mmengine {trained["mmengine_version"]}{when}')
    versions = [f'luminet_mm {__version__}', f'torch {torch.__version__}']
    for name in VERSIONS:
        try:
            versions.append(f'{name} {metadata.version(name)}')
        except metadata.PackageNotFoundError:
            continue  # or a fork of another name
    versions.append(f'Python {platform.python_version()}')
    return [*lines, f'exported with {", ".join(versions)}']


def _meta(checkpoint: dict) -> dict:
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, dict) else {}

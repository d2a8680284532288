"""What users do: build a distiller, train, run a tool; each with one thing changed."""

import contextlib
import json
import os
import os.path as osp
import re
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import lru_cache
from unittest import mock

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner
from tiny import (
    classification_run,
    classifier,
    dense,
    detection_batch,
    detection_run,
    faster_rcnn,
    image_batch,
    merged,
    save_weights,
)

from luminet_mm.registry import DATASETS, HOOKS, MODELS

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
KD = dict(type='luminet_mm.KDLoss')
OMIT = object()  # in place of a value: the key is left out


class Lost(Exception):
    """Something that stood on the disk is gone or changed."""


def retinanet():
    return dense('retinanet')


FAMILIES = dict(
    classifier=(classifier, image_batch, classification_run),
    faster_rcnn=(faster_rcnn, detection_batch, detection_run),
    retinanet=(retinanet, detection_batch, detection_run),
)


FOLDER = tempfile.TemporaryDirectory()  # gone when the process ends
WEIGHTS = {}


@lru_cache(maxsize=None)
def weights(make=classifier, **meta):
    """Path of a teacher's checkpoint, which :func:`write_weights` writes."""
    path = osp.join(FOLDER.name, f'{len(WEIGHTS)}.pth')
    WEIGHTS[path] = (make, meta)
    return path


def write_weights():
    """Write the checkpoints that were named since the last call."""
    for path, (make, meta) in WEIGHTS.items():
        if not osp.exists(path):
            save_weights(make(), path, seed=3, **meta)


def distilled(family='classifier', **changes):
    """The config of a distiller, with some of its settings changed."""
    make = FAMILIES[family][0]
    cfg = dict(
        type='luminet_mm.LogitDistiller',
        student=make(),
        teacher=make(),
        teacher_ckpt=weights(make),
        distill_losses=dict(loss_kd=KD),
        accelerate_teacher=False,
    )
    if changes.get('type') == 'luminet_mm.MutualDistiller':
        for key in ('teacher', 'teacher_ckpt', 'accelerate_teacher'):
            del cfg[key]
        cfg['peers'] = make()
    cfg.update(changes)
    return {key: value for key, value in cfg.items() if value is not OMIT}


def distil(family='classifier', batch=None, **changes):
    """Build a distiller as a runner does, and take a step; gives its losses."""
    make, make_batch, _ = FAMILIES[family]
    init_default_scope(make().get('_scope_', 'mmdet'))
    torch.manual_seed(0)
    model = MODELS.build(distilled(family, **changes))
    model.init_weights()
    model.train()
    data = model.data_preprocessor(batch or make_batch(), True)
    losses = model.loss(**data)
    model.parse_losses(losses)[0].backward()
    return model, losses


def distil_with(loss, **changes):
    """:func:`distil` with other settings of its only loss."""
    return distil(distill_losses=dict(loss_x=loss), **changes)


def run_cfg(folder, family='classifier', model=None, **changes):
    """A run of eight iterations, two epochs, in ``folder/run``."""
    run = FAMILIES[family][2]
    cfg = run(distilled(family, **(model or {})), folder / 'data', folder / 'run')
    return Config(merged(cfg, changes))


def train(folder, *arguments, **changes):
    """``tools/train.py`` with a config of :func:`run_cfg`; what it saved is finite."""
    run_cfg(folder, **changes).dump(folder / 'config.py')
    try:
        tool('train.py', folder / 'config.py', *arguments)
    finally:
        for path in (folder / 'run').glob('*.pth'):
            check_finite(path)


def check_finite(path):
    for name, value in torch.load(path)['state_dict'].items():
        if not value.isfinite().all():
            raise Lost(f'{path.name} holds {name} that is not finite')


def test(folder, ckpt, *arguments, **changes):
    """``tools/test.py`` with a config of :func:`run_cfg`."""
    run_cfg(folder, **changes).dump(folder / 'config.py')
    tool('test.py', folder / 'config.py', ckpt, *arguments)


def tool(name, *arguments):
    """Run a tool in this process, as if it were one of its own."""
    path = osp.join(ROOT, 'tools', name)
    with mock.patch.object(sys, 'argv', [path, *map(str, arguments)]):
        with environment():
            runpy.run_path(path, run_name='__main__')


@contextlib.contextmanager
def environment():
    """Put back what a tool sets for the processes that it starts."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def script(name, *arguments, **env):
    """Run a shell script; ends as it does."""
    path = osp.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    process = subprocess.Popen(
        [osp.join(ROOT, 'tools', name), *map(str, arguments)],
        env={**os.environ, 'PATH': path, **{k: str(v) for k, v in env.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f'{name} waits and says nothing') from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        # a traceback ends with what is wrong, and torchrun's own follows
        errors = re.findall(r'(?m)^(?:\[\w+\]: *)?\w*Error: .*', printed)
        raise SystemExit(errors[0] if errors else printed)
    return printed


def file(folder, name, content):
    """Write a file, of text, of bytes, or what torch makes of anything else."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    return str(path)


def teach_from(folder, content, family='classifier', **changes):
    """A step with a teacher from a file of this content, or of what a function makes
    of a right checkpoint's."""
    if callable(content):
        content = content(torch.load(weights(FAMILIES[family][0])))
    path = file(folder, 'teacher.pth', content)
    return distil(family, teacher_ckpt=path, **changes)


class Evil:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace, how):
        self.trace, self.how = str(trace), how

    def __reduce__(self):
        if self.how == 'exec':
            return exec, (f"open({self.trace!r}, 'w').close()",)
        if self.how == 'eval':
            return eval, (f"open({self.trace!r}, 'w').close()",)
        return os.system, (f"touch '{self.trace}'",)


def read_evil(folder, how, use, **save):
    """Hand a checkpoint that runs code when it is unpickled to what reads it."""
    trace, path = folder / 'trace', folder / 'evil.pth'
    content = torch.load(weights())
    content['optimizer'] = Evil(trace, how)
    torch.save(content, path, **save)
    try:
        use(folder, str(path))
    finally:
        if trace.exists():
            raise Lost('the code in the file has run')


def keeping(*paths):
    """A context that raises :class:`Lost` if one of the files is not as it was."""
    before = {path: path.read_bytes() for path in paths}

    @contextlib.contextmanager
    def context():
        try:
            yield
        finally:
            for path, content in before.items():
                if not path.exists() or path.read_bytes() != content:
                    raise Lost(f'{path.name} is gone or changed')

    return context()


def picture():
    """A small image file."""
    return cv2.imencode('.jpg', np.full((8, 8, 3), 127, np.uint8))[1].tobytes()


def listing(folder):
    """All files below a folder, by their paths in it."""
    paths = folder.rglob('*')
    return {str(path.relative_to(folder)) for path in paths if path.is_file()}


def log(work_dir, metric, value):
    """What a training of one epoch leaves in its work dir."""
    lines = dict(epoch=1, iter=1, loss=1.0, step=1), {metric: value, 'step': 1}
    text = ''.join(f'{json.dumps(line)}\n' for line in lines)
    file(work_dir, '20260101_000000/vis_data/scalars.json', text)


@MODELS.register_module(force=True)
class LossThatBreaks(torch.nn.Module):
    """A loss that has another value from its fifth call on."""

    def __init__(self, value='nan'):
        super().__init__()
        self.value = float(value)
        self.calls = 0

    def forward(self, preds_S, preds_T):
        self.calls += 1
        loss = (preds_S - preds_T).square().mean()
        return loss * self.value if self.calls > 4 else loss


@RUNNERS.register_module(force=True)
class RunnerThatIsSeen(Runner):
    """A runner that counts how many were made."""

    seen = 0

    @classmethod
    def from_cfg(cls, cfg):
        cls.seen += 1
        return super().from_cfg(cfg)


def hook(**cfg):
    return HOOKS.build(cfg)


def dataset(**cfg):
    init_default_scope('mmpretrain')
    return DATASETS.build(cfg)


def preprocessor(**cfg):
    """A step with this preprocessor of the student."""
    student = classifier()
    student['data_preprocessor'] = cfg
    return distil(student=student)

import hashlib
import io
import math
import os
import os.path as osp
from itertools import chain
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.dist import all_reduce, get_world_size, is_main_process, master_only
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner, find_latest_checkpoint
from torch import Tensor, nn

from ..checkpoints import read_data
from ..registry import HOOKS

PATIENCE = 20  # losses in a row that are not finite, which a loss scaler may skip
INTERVAL = 10  # iterations after which GPUs and other processes are asked for theirs
ATOMIC = 'luminet_mm.atomic'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, of which a run can only keep good checkpoints.

    - A file is written beside its place and moved there when it is whole, and only
      then an older one is deleted: whenever the run is killed, the last one is there.
    - A loss that is not finite ends the run before a checkpoint is written. Under a
      loss scaler, which skips such steps by itself, 20 of them in a row do. Losses on a
      GPU, or of several processes, are looked at together every 10 iterations, so that
      nothing waits for them each time.
    - Weights and statistics that are not finite are never written. (Buffers that were
      not finite when the model was built, such as masks, may stay so.)
    - Resuming takes a checkpoint of this run's model only.

    A published checkpoint is named by the sha256 of its file, as the model zoos' are.

    Args:
        **kwargs: As for ``CheckpointHook``. Files of ``file_client_args``, which are
            deprecated, and of other file systems are written as these write.
    """

    def before_run(self, runner: Runner) -> None:
        """Note what is not finite in the model as it was built."""
        buffers = _module(runner.model).named_buffers()
        self._masks = {name for name, value in buffers if not _is_finite(value)}
        self._trouble = ''
        self._in_a_row = 0
        self._unseen: List[Tuple[int, Dict[str, Tensor]]] = []

    def before_train(self, runner: Runner) -> None:
        """Choose a way of writing that never leaves half a file."""
        if self.file_client_args is None:
            folder = self.out_dir or runner.work_dir
            backend = get_file_backend(folder, backend_args=self.backend_args)
            if isinstance(backend, LocalBackend):
                self.backend_args = dict(backend=ATOMIC)
        super().before_train(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check that a run resumes from a checkpoint of its own model.

        Raises:
            ValueError: If the names or shapes of the weights differ, or there is
                nothing but weights.
        """
        if not runner._resume:
            return
        path = runner._load_from or find_latest_checkpoint(runner.work_dir)
        for part in ('meta', 'message_hub', 'state_dict'):
            if not isinstance(checkpoint.get(part), dict):
                raise ValueError(
                    f'resume: {path!r} cannot be resumed from, since it has no {part}; '
                    'load_from without resume takes the weights alone'
                )
        own = _shapes(_module(runner.model).state_dict())
        saved = _shapes(checkpoint['state_dict'])
        differing = [
            f'{name} {saved.get(name, "missing")} instead of {own.get(name, "none")}'
            for name in {**own, **saved}
            if saved.get(name) != own.get(name)
        ]
        if differing:
            raise ValueError(
                f'resume: {path!r} is the checkpoint of another model than this run '
                f'trains: {len(differing)} tensors differ, '
                f'{"; ".join(differing[:5])}{" ..." * (len(differing) > 5)}. Give each '
                'config a work dir of its own; load_from without resume takes the '
                'weights alone'
            )

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Look at the losses, then save a checkpoint if it is time.

        Raises:
            FloatingPointError: If a loss is not finite.
        """
        losses = {
            name: torch.as_tensor(value).detach()
            for name, value in (outputs or {}).items()
            if 'loss' in name
        }
        self._unseen.append((runner.iter + 1, losses))
        at_once = get_world_size() == 1 and not any(v.is_cuda for v in losses.values())
        if at_once or self.every_n_train_iters(runner, INTERVAL):
            self._check_losses(runner)
            self._end_if_troubled(runner)
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_train(self, runner: Runner) -> None:
        """Look at the last losses, too."""
        self._check_losses(runner)
        self._end_if_troubled(runner)
        super().after_train(runner)

    def _check_losses(self, runner: Runner) -> None:
        allowed = PATIENCE - 1 if _skips_steps(runner.optim_wrapper) else 0
        for iteration, losses in self._unseen:
            bad = _not_finite(losses)
            self._in_a_row = self._in_a_row + 1 if bad else 0
            if self._in_a_row > allowed and not self._trouble:
                self._trouble = f'{", ".join(bad)} in iteration {iteration}'
        self._unseen.clear()

    def _end_if_troubled(self, runner: Runner) -> None:
        flag = torch.tensor(float(bool(self._trouble)))
        all_reduce(flag, 'max')
        if not flag:
            return
        trouble = self._trouble or 'another process met what is not finite'
        last = runner.message_hub.runtime_info.get('last_ckpt')
        raise FloatingPointError(
            f'{trouble}: the run ends before that reaches a checkpoint (the last one '
            f'is {last or "not written yet"}). Lower the learning '
            'rate or the loss_weight, lengthen the warm-up, clip gradients '
            '(optim_wrapper.clip_grad.max_norm=10), or look for the images and labels '
            'of this iteration; then --resume'
        )

    def _check_weights(self, runner: Runner) -> None:
        self._check_losses(runner)
        if not self._trouble:
            model = _module(runner.model)
            for name, value in chain(model.named_parameters(), model.named_buffers()):
                if name not in self._masks and not _is_finite(value):
                    self._trouble = f'{name} holds nan or inf'
                    break
        self._end_if_troubled(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """As the parent's; old checkpoints are deleted last, not first."""
        self._check_weights(runner)
        outdated: List[int] = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            outdated = [*self.keep_ckpt_ids, step][: -self.max_keep_ckpts]
            self.keep_ckpt_ids.append(step)  # drops the outdated by its maxlen
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            note = osp.join(runner.work_dir, 'last_checkpoint')
            write_whole(self.last_ckpt.encode(), note)
            for old in map(self.filename_tmpl.format, outdated):
                self._remove(self.file_backend.join_path(self.out_dir, old))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """As the parent's; the former best is deleted last, not first."""
        if not self.save_best:
            return
        self._check_weights(runner)
        backend = self.file_backend
        self.file_backend = later = _RemoveLater(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        best = getattr(self, 'best_ckpt_path_dict', {}).values()
        kept = {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best}
        for path in later.paths:
            if path not in kept:
                self._remove(path)

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's checkpoints are folders
            self.file_backend.rmtree(path)

    @master_only
    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        data = io.BytesIO(self.file_backend.get(ckpt_path))
        checkpoint = read_data(data, 'cpu', {})
        published = io.BytesIO()
        kept = {k: v for k, v in checkpoint.items() if k in self.published_keys}
        torch.save(kept, published)
        digest = hashlib.sha256(published.getvalue()).hexdigest()
        path = f'{osp.splitext(ckpt_path)[0]}-{digest[:8]}.pth'
        self.file_backend.put(published.getvalue(), path)
        print_log(f'{ckpt_path} is published as {path}', logger='current')


def write_whole(data: bytes, path: str) -> None:
    """Write a file that is there as a whole, or as it was before.

    Args:
        data (bytes): All of it.
        path (str): Where to; its folder is made.
    """
    folder = osp.dirname(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    # one name, so that what a kill leaves behind is overwritten by the next file
    part = osp.join(folder, 'unfinished.part')
    try:
        with open(part, 'wb') as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    except BaseException:
        if osp.exists(part):
            os.remove(part)
        raise


class AtomicBackend(LocalBackend):
    """The local file system, with files that are there whole or not at all."""

    def put(self, obj: bytes, filepath: Any) -> None:
        """Write a file by :func:`write_whole`."""
        write_whole(obj, str(filepath))


register_backend(ATOMIC, AtomicBackend, force=True)


class _RemoveLater:
    """A file backend that only takes down what it is told to delete."""

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend
        self.paths: List[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.paths.append(path)

    rmtree = remove


def _module(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _is_finite(value: Tensor) -> bool:
    return bool(value.isfinite().all())


def _not_finite(losses: Dict[str, Tensor]) -> List[str]:
    """Losses that are nan or inf, as text; the total tells whether any is."""
    if 'loss' in losses and math.isfinite(losses['loss']):
        return []
    return [
        f'{name}={float(value)}'
        for name, value in losses.items()
        if not math.isfinite(value)
    ]


def _skips_steps(optim_wrapper: Union[OptimWrapper, OptimWrapperDict]) -> bool:
    """Whether a loss scaler skips steps whose gradients are not finite."""
    if isinstance(optim_wrapper, OptimWrapperDict):
        return any(map(_skips_steps, optim_wrapper.values()))
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def _shapes(state_dict: Dict[str, Tensor]) -> Dict[str, tuple]:
    """Shapes by name, without DDP's prefix and what older torch did not count."""
    return {
        name[7:] if name.startswith('module.') else name: tuple(value.shape)
        for name, value in state_dict.items()
        if isinstance(value, Tensor) and not name.endswith('num_batches_tracked')
    }

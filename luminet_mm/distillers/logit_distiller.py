from dataclasses import replace
from typing import Any, Dict, List, Sequence, Tuple, Union

import torch
from mmengine.logging import MessageHub, print_log
from torch import Tensor, nn

from ..registry import MODELS
from .base_distiller import BaseDistiller, num_params
from .sources import LogitRows
from .teacher import Teacher


@MODELS.register_module()
class LogitDistiller(BaseDistiller):
    """A student that learns from the logits of frozen teachers.

    The student's own ``loss`` runs untouched; a :class:`LogitSource` observes
    the logits that it made, asks the teachers for the logits of the same rows,
    and the named distillation losses are added to the student's.

    Checkpoints hold the student alone, under its own names: they load, strictly,
    into the plain upstream model, and upstream's checkpoints load here. In
    testing no teacher is built.

    Args:
        student (dict): The student: ``dict(cfg_path=..., **overrides)`` with
            ``package::config.py`` or the path of a config file, or the model
            inline.
        teacher (dict | list[dict]): The teacher, given in the same way. The
            logits of several are averaged.
        distill_losses (dict[str, dict]): Named losses. Each is called with the
            student's and the teacher's logits, shape (N, C), and, if its ``forward``
            has a parameter ``gt_labels``, the labels of the rows. ``compares`` beside
            its ``type`` names another prediction of the source, see
            :class:`TwoStageSource`.
        teacher_ckpt (str | list[str], optional): Weights of the teacher, one
            for each, see :class:`Teacher`. Defaults to None, which takes the
            model zoo's weights of a teacher named by ``package::config.py``.
        accelerate_teacher (bool): Whether teachers run as :func:`accelerate` makes
            them, whose features differ by rounding. Defaults to True; where they
            would differ by more, a teacher runs as it is.
        warmup (int): Length of a linear warm-up of the distillation losses: the
            first epoch (or iteration) has 1 / warmup of their weight. Defaults
            to 0, none. The paper uses 20 epochs on CIFAR-100, 1 on ImageNet.
        warmup_by_epoch (bool): Whether ``warmup`` counts epochs or iterations.
            Defaults to True.
        source (dict, optional): Where logits come from, e.g.
            ``dict(type='TwoStageSource', teacher_stage=2)``. Defaults to None,
            which finds the family of the student.
        data_preprocessor (dict, optional): The student's preprocessor, where
            its config has none; the runner passes a top-level one.
        init_cfg (dict, optional): As in mmengine. Defaults to None.

    Raises:
        TypeError, ValueError: For a config that cannot work, naming the key,
            its value, and what would be right.
    """

    def __init__(
        self,
        student: dict,
        teacher: Union[dict, List[dict]],
        distill_losses: Dict[str, dict],
        teacher_ckpt: Union[str, List[str], None] = None,
        accelerate_teacher: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(student, distill_losses, **kwargs)
        self.accelerate_teacher = accelerate_teacher
        self._teacher_cfgs = _pair_with_ckpts(teacher, teacher_ckpt)
        self._teachers: List[Teacher] = []

    def loss(self, inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """See :meth:`BaseDistiller.loss`."""
        losses, rows, taught = self._learn(inputs, data_samples)
        return {**losses, **self._distill(rows, taught)}

    def _learn(
        self, inputs: Tensor, data_samples: list
    ) -> Tuple[Dict[str, Tensor], LogitRows, LogitRows]:
        """The student's own losses, its predictions, and the teachers' of the same."""
        for teacher in self.teachers:
            teacher.accelerate(inputs, data_samples)
        losses, rows = self._observed_loss(self.student, inputs, data_samples)
        return losses, rows, self._teach(inputs, data_samples, rows)

    def _teach(self, inputs: Tensor, data_samples: list, rows: LogitRows) -> LogitRows:
        """What the teachers predict of the student's rows, averaged."""
        taught = [
            teacher.predict(self.source, inputs, data_samples, rows)
            for teacher in self.teachers
        ]
        if len(taught) == 1:
            return taught[0]
        mean = {
            name: torch.stack([getattr(each, name) for each in taught]).mean(dim=0)
            for name in self.source.compared
        }
        return replace(taught[0], **mean)

    @property
    def teachers(self) -> List[Teacher]:
        """The frozen teachers; built, loaded and checked when first asked for."""
        if not self._teachers:
            teachers = []
            for cfg, ckpt in self._teacher_cfgs:
                teacher = Teacher(
                    cfg, ckpt, self.student.data_preprocessor, self.accelerate_teacher
                )
                self._check_family(teacher.model, 'model.teacher', teacher.name)
                teachers.append(teacher.to(next(self.student.parameters())))
            self._teachers = teachers
            print_log(self._summary(), logger='current')
        return self._teachers

    def init_weights(self) -> None:
        """Initialise the student and build the teachers.

        The runner calls this before training only, so that a config that is
        just tested needs no teacher.
        """
        super().init_weights()
        self.teachers  # noqa: B018

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> nn.Module:
        super()._apply(fn, *args, **kwargs)
        for teacher in self._teachers:
            teacher.to(next(self.student.parameters()))  # its device and precision
        return self

    def _check_run(self) -> None:
        super()._check_run()
        hub = MessageHub.get_current_instance()
        classes = (hub.get_info('dataset_meta') or {}).get('classes')
        for teacher in self.teachers:
            teacher.check_classes(classes)

    def _roles(self) -> Tuple[List[tuple], List[tuple]]:
        guides = [
            ('teacher', f'{type(t.model).__name__} ({t.name})\n from {t.ckpt}')
            for t in self._teachers
        ]
        frozen = sum(num_params(t.model, trained=False) for t in self._teachers)
        parameters = [
            ('trained', f'{num_params(self) / 1e6:.2f} M parameters of the student'),
            (
                'frozen',
                f'{num_params(self, trained=False) / 1e6:.2f} M of the student, '
                f'{frozen / 1e6:.2f} M of the teacher',
            ),
        ]
        return guides, parameters

    @torch.no_grad()
    def look(self, inputs: Tensor, data_samples: list) -> Tuple[LogitRows, Tensor]:
        """The logits that student and teachers make of a batch, not to be trained.

        The student is run as it is, so take a copy of the distiller in eval mode
        while it is trained: the losses of some heads have a state of their own.

        Args:
            inputs (Tensor): The student's batch, shape (B, 3, H, W).
            data_samples (list): Its data samples, with ground truth.

        Returns:
            tuple[LogitRows, Tensor]: The student's logits and their labels, and the
            teachers' logits, averaged, shape (N, C).
        """
        for sample in data_samples:
            if 'gt_score' in sample:  # one-hot; mixup would have made it a float
                sample.set_gt_score(sample.gt_score.float())
        # many a head returns what its loss needs in train mode only
        heads = [
            module
            for module in self.student.modules()
            if hasattr(module, 'loss') and not module.training
        ]
        for head in heads:
            head.training = True  # not its layers
        try:
            _, rows, taught = self._learn(inputs, data_samples)
        finally:
            for head in heads:
                head.training = False
        return rows, taught.logits


def _pair_with_ckpts(
    teacher: Union[dict, Sequence[dict]], ckpt: Union[str, Sequence[str], None]
) -> list:
    teachers = [teacher] if isinstance(teacher, dict) else list(teacher)
    ckpts = [ckpt] * len(teachers) if ckpt is None else ckpt
    ckpts = [ckpts] if isinstance(ckpts, str) else list(ckpts)
    if not teachers or len(teachers) != len(ckpts):
        raise ValueError(
            f'model.teacher names {len(teachers)} teachers and model.teacher_ckpt '
            f'{len(ckpts)} checkpoints; give one for each'
        )
    return list(zip(teachers, ckpts))

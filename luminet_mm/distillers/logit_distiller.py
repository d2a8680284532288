import inspect
from typing import Any, Dict, List, Optional, Sequence, Union

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..config import load_model_cfg
from ..registry import LOGIT_SOURCES, MODELS
from .sources import LogitSource
from .teacher import Teacher

STUDENT = 'student.'


@MODELS.register_module()
class LogitDistiller(BaseModel):
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
            student's and the teacher's logits, shape (N, C), and, if its
            ``forward`` has a parameter ``gt_labels``, the labels of the rows.
        teacher_ckpt (str | list[str], optional): Weights of the teacher, one
            for each, see :class:`Teacher`. Defaults to None, which takes the
            model zoo's weights of a teacher named by ``package::config.py``.
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
        warmup: int = 0,
        warmup_by_epoch: bool = True,
        source: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        student_cfg = load_model_cfg(student, 'model.student')
        if data_preprocessor is not None:
            student_cfg.setdefault('data_preprocessor', data_preprocessor)
        built = MODELS.build(student_cfg)
        super().__init__(built.data_preprocessor, init_cfg)
        self.student = built
        self.source = _build_source(source, built)
        self.distill_losses = nn.ModuleDict(
            {name: _build_loss(name, cfg) for name, cfg in distill_losses.items()}
        )
        if not self.distill_losses:
            raise ValueError('model.distill_losses is empty: name at least one loss')
        if warmup < 0:
            raise ValueError(f'model.warmup={warmup} is negative, it must be >= 0')
        self.warmup = warmup
        self.warmup_by_epoch = warmup_by_epoch
        self._student_name = student.get('cfg_path') or student.get('type')
        self._teacher_cfgs = _pair_with_ckpts(teacher, teacher_ckpt)
        self._teachers: List[Teacher] = []
        self._checked_run = False
        self._register_state_dict_hook(_drop_student_prefix)

    def forward(
        self, inputs: Tensor, data_samples: Optional[list] = None, mode: str = 'tensor'
    ) -> Any:
        """As the student's ``forward``; ``mode='loss'`` adds the distillation.

        Args:
            inputs (Tensor): The student's batch, shape (B, 3, H, W).
            data_samples (list, optional): Its data samples. Defaults to None.
            mode (str): 'loss', 'predict' or 'tensor'. Defaults to 'tensor'.

        Returns:
            Any: What the student returns; a dict of losses for 'loss'.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.student(inputs, data_samples, mode=mode)

    def loss(self, inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """The student's own losses and, beside them, the distillation losses.

        Args:
            inputs (Tensor): The student's batch, shape (B, 3, H, W).
            data_samples (list): Its data samples.

        Returns:
            dict[str, Tensor]: Losses by name.
        """
        self._check_run()
        with self.source.observe(self.student, data_samples) as rows:
            losses = self.student(inputs, data_samples, mode='loss')
        clash = sorted(set(losses) & set(self.distill_losses))
        if clash:
            raise ValueError(
                f'model.distill_losses: the student has losses of its own named {clash}'
                '; choose other names'
            )
        preds_T = self._teach(inputs, data_samples, rows)
        factor = self._warmup_factor()
        for name, distill_loss in self.distill_losses.items():
            labels = _labels_for(name, distill_loss, rows.labels)
            losses[name] = factor * distill_loss(rows.logits, preds_T, **labels)
        return losses

    @torch.no_grad()
    def _teach(self, inputs: Tensor, data_samples: list, rows: Any) -> Tensor:
        """Logits of the teachers, averaged, shape (N, C)."""
        logits = [
            self.source.teacher_logits(
                teacher.model, teacher.prepare_inputs(inputs, data_samples), rows
            )
            for teacher in self.teachers
        ]
        return logits[0] if len(logits) == 1 else torch.stack(logits).mean(dim=0)

    def _warmup_factor(self) -> float:
        if not self.warmup:
            return 1.0
        counter = 'epoch' if self.warmup_by_epoch else 'iter'
        done = MessageHub.get_current_instance().get_info(counter, self.warmup)
        return min((done + 1) / self.warmup, 1.0)

    @property
    def teachers(self) -> List[Teacher]:
        """The frozen teachers; built, loaded and checked when first asked for."""
        if not self._teachers:
            device = next(self.student.parameters()).device
            teachers = []
            for cfg, ckpt in self._teacher_cfgs:
                teacher = Teacher(cfg, ckpt, self.student.data_preprocessor)
                if not self.source.fits(teacher.model):
                    raise ValueError(
                        f'model.teacher={teacher.name!r} is a '
                        f'{type(teacher.model).__name__}, which cannot teach a '
                        f'{type(self.student).__name__}: {type(self.source).__name__} '
                        'needs both of one family'
                    )
                self.source.check(self.student, teacher.model)
                teachers.append(teacher.to(device))
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
            teacher.to(next(self.student.parameters()).device)
        return self

    def _check_run(self) -> None:
        """Before the first iteration: what only the running loop knows."""
        if self._checked_run:
            return
        hub = MessageHub.get_current_instance()
        unit = 'epochs' if self.warmup_by_epoch else 'iters'
        length = hub.get_info(f'max_{unit}', self.warmup)
        if self.warmup > length:
            raise ValueError(
                f'model.warmup={self.warmup} is longer than the run of {length} {unit},'
                ' so the distillation losses would never reach their full weight; '
                'shorten it, or count iterations with model.warmup_by_epoch=False (an '
                'iteration-based loop is one epoch)'
            )
        classes = (hub.get_info('dataset_meta') or {}).get('classes')
        for teacher in self.teachers:
            teacher.check_classes(classes)
        self._checked_run = True

    def _summary(self) -> str:
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        own_frozen = sum(p.numel() for p in self.parameters() if not p.requires_grad)
        lines = [
            ('student', f'{type(self.student).__name__} ({self._student_name})'),
            *(
                ('teacher', f'{type(t.model).__name__} ({t.name})\n from {t.ckpt}')
                for t in self._teachers
            ),
            ('distilled', f'{self.source} ({type(self.source).__name__})'),
            *self.distill_losses.items(),
            ('warm-up', self._warmup_text()),
            ('trained', f'{trained / 1e6:.2f} M parameters of the student'),
            (
                'frozen',
                f'{own_frozen / 1e6:.2f} M of the student, '
                f'{sum(_num_params(t.model) for t in self._teachers) / 1e6:.2f} M of '
                'the teacher',
            ),
        ]
        width = max(len(key) for key, _ in lines)
        rows = (
            f'  {key:<{width}}  {str(value)}'.replace('\n', '\n  ' + ' ' * (width + 1))
            for key, value in lines
        )
        return '\n'.join(['Distillation', *rows])

    def _warmup_text(self) -> str:
        if not self.warmup:
            return 'none'
        unit = 'epochs' if self.warmup_by_epoch else 'iterations'
        return f'linear over {self.warmup} {unit}'

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args: Any
    ) -> None:
        """Accept the plain student's names, the inverse of the state-dict hook."""
        own = {name for name, _ in self.named_children()} - {'data_preprocessor'}
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = key[len(prefix) :]
            if name.split('.')[0] not in own:
                state_dict[prefix + STUDENT + name] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def _drop_student_prefix(
    module: LogitDistiller, state_dict: dict, prefix: str, local_metadata: dict
) -> None:
    """State-dict hook: save the student's weights under its own names."""
    old = prefix + STUDENT
    for names in (state_dict, getattr(state_dict, '_metadata', {})):
        for key in [key for key in names if key.startswith(old)]:
            names[prefix + key[len(old) :]] = names.pop(key)


def _build_source(source: Optional[dict], student: BaseModel) -> LogitSource:
    """The source that the config names, or else the first that fits."""
    LOGIT_SOURCES.import_from_location()
    families = LOGIT_SOURCES.module_dict
    if source is None:
        candidates = [family() for family in families.values()]
    elif source.get('type') in families:
        candidates = [LOGIT_SOURCES.build(source)]
    else:
        raise ValueError(
            f'model.source.type={source.get("type")!r} is unknown, the families are '
            f'{sorted(families)}'
        )
    for candidate in candidates:
        if candidate.fits(student):
            return candidate
    raise ValueError(
        f'model.student is a {type(student).__name__}, which none of '
        f'{[type(c).__name__ for c in candidates]} knows how to distil: it must be an '
        'image classifier of mmpretrain or a two-stage detector of mmdet'
    )


def _build_loss(name: str, cfg: dict) -> nn.Module:
    key = f'model.distill_losses.{name}'
    if 'loss' not in name:
        raise ValueError(
            f"{key}: the name must contain 'loss', or mmengine only logs its value and "
            'does not train with it'
        )
    try:
        loss = MODELS.build(cfg)
    except KeyError as error:
        raise ValueError(
            f'{key}.type={cfg.get("type")!r} is not a registered loss; '
            "luminet_mm's own are written 'luminet_mm.LuminetLoss', those of other "
            f"packages 'mmrazor.DKDLoss'. {error}"
        ) from error
    needed = [
        parameter.name
        for parameter in inspect.signature(loss.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind
        in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) < 2 or set(needed[2:]) - {'gt_labels'}:
        raise ValueError(
            f'{key}: {type(loss).__name__}.forward({", ".join(needed)}) cannot be '
            'called; it must take the logits of student and teacher, and may take '
            'gt_labels'
        )
    return loss


def _labels_for(name: str, loss: nn.Module, labels: Optional[Tensor]) -> dict:
    """The labels as a keyword argument, if the loss has a parameter for them."""
    parameter = inspect.signature(loss.forward).parameters.get('gt_labels')
    if parameter is None:
        return {}
    if labels is None and parameter.default is parameter.empty:
        raise ValueError(
            f'model.distill_losses.{name}: {type(loss).__name__} needs a class index '
            'for each sample, but the batch has soft labels (mixup, CutMix): remove '
            'batch_augments from model.student.data_preprocessor or take another loss'
        )
    return dict(gt_labels=labels)


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


def _num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())

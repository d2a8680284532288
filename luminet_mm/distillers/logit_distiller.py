import logging
from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..checks import check_arguments, check_boolean, check_number, check_type
from ..registry import MODELS
from .base_distiller import BaseDistiller
from .building import build_model, check_told, num_params
from .distill_losses import compares_features
from .features import compare, connect
from .own_loss import check_unlabelled, warn_of_what_is_left, weigh, with_labels
from .pixels import describe_pixels
from .proof import is_proven, prove
from .rest import check_rests
from .sources import ClassifierSource, Rows
from .stopwatch import Stopwatch
from .taps import Taps
from .teacher import Teacher
from .zoom import Zoom

TEACHER = 'a dict with `cfg_path` or `type`, or a list of such dicts'


@MODELS.register_module()
class LogitDistiller(BaseDistiller):
    """A student that learns from the logits of frozen teachers.

    The student's own ``loss`` runs untouched; a :class:`Source` observes
    the logits that it made, asks the teachers for the logits of the same rows,
    and the named distillation losses are added to the student's. Losses of features
    join them: taps see what named modules of both give in the same runs.

    Checkpoints hold the student alone, under its own names: they load, strictly,
    into the plain upstream model, and upstream's checkpoints load here. In
    testing no teacher is built.

    Args:
        student (dict): The student: ``dict(cfg_path=..., **overrides)`` with
            ``package::config.py`` or the path of a config file, or the model
            inline.
        teacher (dict | list[dict]): The teacher, given in the same way. The
            logits of several are averaged. ``scale=1.5`` in it, or for classifiers
            ``size=(224, 224)``, shows it the student's images at another size, see
            :class:`Zoom`.
        distill_losses (dict[str, dict]): Named losses. Each is called with the
            student's and the teacher's logits, shape (N, C), and, if its ``forward``
            has a parameter ``gt_labels``, the labels of the rows. ``compares`` beside
            its ``type`` names another prediction of the source, see
            :class:`TwoStageSource`. One that compares features, as
            :class:`luminet_mm.losses.FeatureLoss`, is given those that its ``layers``
            name, see :class:`Tap`; ``layers`` beside the ``type`` of another package's
            loss of two maps does that for it. What it learns itself, its connectors,
            is trained with the student and kept in checkpoints as
            ``distill_losses.NAME.*``.
        teacher_ckpt (str | list[str], optional): Weights of the teacher, one
            for each, see :class:`Teacher`. Defaults to None, which takes the
            model zoo's weights of a teacher named by ``package::config.py``.
        accelerate_teacher (bool): Whether teachers run as :func:`accelerate` makes
            them, whose features differ by rounding. Defaults to True; where they
            would differ by more, a teacher runs as it is.
        compile_teacher (bool): Whether ``torch.compile`` is given the backbones and
            necks of teachers, see :func:`compile_extractors`. Defaults to False, as
            that takes a minute or more at the start, and for other sizes of images.
        warmup (int): Length of a linear warm-up of the distillation losses: the
            first epoch (or iteration) has 1 / warmup of their weight. Defaults
            to 0, none. The paper uses 20 epochs on CIFAR-100, 1 on ImageNet.
        warmup_by_epoch (bool): Whether ``warmup`` counts epochs or iterations.
            Defaults to True.
        stop_epoch (int, optional): Epochs after which the student goes on without its
            teachers, as recipes of detectors have it. Defaults to None, never.
        stop_iter (int, optional): The same, counted in iterations. Defaults to None.
        source (dict, optional): Where logits come from, e.g.
            ``dict(type='TwoStageSource', teacher_stage=2)``. Defaults to None,
            which finds the family of the student.
        own_loss_weight (float): Factor of the student's own losses. With 0 the teacher
            alone teaches, so that images need no labels (an annotation file without
            annotations, a folder of images), and those that have some are used without;
            a row's class is then the one that the teacher finds likeliest. Defaults to
            1.0.
        data_preprocessor (dict, optional): The run's, which mmengine's runner passes
            from a config's top level. It is the student's, whatever the student's own
            file says, and that of a teacher whose config has none.
        init_cfg (dict, optional): As in mmengine. Defaults to None.

    Attributes:
        teachers (list[Teacher]): The frozen teachers; empty until
            :meth:`build_teachers`.
        teacher_time (Stopwatch): How long they have computed.

    Raises:
        TypeError, ValueError: For a config that cannot work, naming the key,
            its value, and what would be right.
    """

    def __init__(
        self,
        student: Optional[dict] = None,
        teacher: Union[dict, List[dict], None] = None,
        distill_losses: Optional[Dict[str, dict]] = None,
        teacher_ckpt: Union[str, List[str], None] = None,
        accelerate_teacher: bool = True,
        compile_teacher: bool = False,
        own_loss_weight: float = 1.0,
        data_preprocessor: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        # first, as a misspelt `teacher` is none
        check_arguments('model', LogitDistiller, kwargs)
        check_boolean('model.accelerate_teacher', accelerate_teacher)
        check_boolean('model.compile_teacher', compile_teacher)
        check_number('model.own_loss_weight', own_loss_weight, at_least=0)
        super().__init__(
            student, distill_losses, data_preprocessor=data_preprocessor, **kwargs
        )
        self.accelerate_teacher = accelerate_teacher
        self.compile_teacher = compile_teacher
        self.own_loss_weight = own_loss_weight
        self.source.unlabelled = own_loss_weight == 0
        if self.source.unlabelled:
            self._check_own_end()
            check_unlabelled(self.source, self._feature_losses)
            warn_of_what_is_left(self.source)
        self._run_preprocessor = data_preprocessor
        self._teacher_cfgs = _pair_with_ckpts(teacher, teacher_ckpt)
        for _, _, zoom in self._teacher_cfgs:
            self._check_zoom(zoom)
        self.teachers: List[Teacher] = []
        self.teacher_time = Stopwatch()
        if self._feature_losses:
            if compile_teacher:
                raise ValueError(
                    f'model.compile_teacher=True: {next(iter(self._feature_losses))} '
                    'compares features, which are seen by hooks inside of the teacher '
                    'that compiled code does not run; remove one of the two'
                )
            self._connect()

    @property
    def _feature_losses(self) -> Dict[str, nn.Module]:
        losses = self.distill_losses.items()
        return {name: loss for name, loss in losses if compares_features(loss)}

    def _check_own_end(self) -> None:
        for name in ('stop_epoch', 'stop_iter'):
            if getattr(self, name) is not None:
                raise ValueError(
                    f'model.{name}={getattr(self, name)}: with model.own_loss_weight=0 '
                    'there is nothing to learn without the teacher; remove one of the '
                    'two'
                )

    def _observed_loss(
        self, model: BaseModel, inputs: Tensor, data_samples: list
    ) -> Tuple[Dict[str, Tensor], Rows]:
        losses, rows = super()._observed_loss(model, inputs, data_samples)
        if self.own_loss_weight != 1:
            losses = weigh(losses, self.own_loss_weight)
        return losses, rows

    def _check_zoom(self, zoom: Zoom) -> None:
        if not zoom:
            return
        if zoom.size and not ClassifierSource.fits(self.student):
            raise ValueError(
                f'model.teacher.size={zoom.size} brings all images to one size, as '
                'only classifiers see them, and model.student is a '
                f'{type(self.student).__name__}; set model.teacher.scale, such as 1.5'
            )
        self.source.check_zoom(zoom, 'model.teacher', self.student)

    def _connect(self) -> None:
        """Make the connectors, which need to know the features of both models.

        The optimizer is built before the teacher is, so a teacher without weights is
        asked for the shapes of its features, and forgotten.
        """
        if len(self._teacher_cfgs) > 1:
            raise ValueError(
                f'model.distill_losses.{next(iter(self._feature_losses))} compares '
                f'features, and those of {len(self._teacher_cfgs)} teachers '
                '(model.teacher) are not the same, so they cannot be averaged; name one'
            )
        # as of a teacher, see there: a student's first weights do not depend on this
        with torch.random.fork_rng(devices=[]):
            cfg, _, zoom = self._teacher_cfgs[0]
            teacher, _ = build_model(cfg, 'model.teacher', self._run_preprocessor)
            taps = Taps(self._places(1), teacher)
            sides = (self.student, self.taps, teacher, taps)
            connect(self._feature_losses, *sides, zoom)

    def loss(self, inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """See :meth:`BaseDistiller.loss`."""
        if self.is_over:
            return self._loss_alone(inputs, data_samples)
        losses, rows, taught = self._learn(inputs, data_samples)
        losses.update(self._distill(rows, taught))
        for name, loss in self._feature_losses.items():
            teacher = self.teachers[0]
            value = compare(
                loss,
                f'model.distill_losses.{name}',
                (self.student, self.taps, rows),
                (teacher.model, teacher.taps, taught),
                data_samples,
                self._is_first,
            )
            losses[name] = self._warmup_factor() * value
        self._is_first = False
        return losses

    def _loss_alone(self, inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """The student's own losses, when distillation is over."""
        losses, _ = self._observed_loss(self.student, inputs, data_samples)
        for name, loss in self.distill_losses.items():
            connectors = [each for each in loss.parameters() if each.requires_grad]
            if connectors:  # DistributedDataParallel waits for their gradients
                losses[name] = 0 * sum(each.sum() for each in connectors)
        self._is_first = False
        return losses

    def _learn(
        self, inputs: Tensor, data_samples: list
    ) -> Tuple[Dict[str, Tensor], Rows, Rows]:
        """The student's own losses, its predictions, and the teachers' of the same."""
        if not self.teachers:
            self.build_teachers()
        if self.source.unlabelled:
            data_samples = with_labels(data_samples, inputs)
        if self._is_first and self.training:
            self._prove_models(inputs, data_samples)
            if not self.source.unlabelled:
                _warn_of_no_truth(data_samples)
        for teacher in self.teachers:
            teacher.accelerate(inputs, data_samples)
        losses, rows = self._observed_loss(self.student, inputs, data_samples)
        self.teacher_time.start(inputs.device)
        taught = self._teach(inputs, data_samples, rows)
        self.teacher_time.stop()
        if self.source.unlabelled and taught.logits is not None:
            rows.labels = taught.logits.argmax(dim=1)
        if self._is_first:
            self.source.check_rows(self.student, rows, len(inputs))
        return losses, rows, taught

    def _prove_models(self, inputs: Tensor, data_samples: list) -> None:
        """Before the first iteration: models of a family that was never walked."""
        models = [('model.student', self.student, inputs)]
        # of features a teacher is asked as anybody would
        for teacher in self.teachers if self.source.predictions else ():
            pixels = teacher.prepare_inputs(inputs, data_samples)
            models.append(('model.teacher', teacher.model, pixels))
        for key, model, images in models:
            if not is_proven(self.source, model):
                taps = self.taps if model is self.student else None
                prove(self.source, model, key, images, data_samples, taps)

    def _teach(self, inputs: Tensor, data_samples: list, rows: Rows) -> Rows:
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

    def build_teachers(self) -> List[Teacher]:
        """Build, load and check the frozen teachers, and log what is distilled.

        Returns:
            list[Teacher]: The new :attr:`teachers`.

        Raises:
            TypeError, ValueError: If one cannot teach the student.
        """
        teachers = []
        for cfg, ckpt, zoom in self._teacher_cfgs:
            teacher = Teacher(
                cfg,
                ckpt,
                self.student.data_preprocessor,
                self.accelerate_teacher,
                self.compile_teacher,
                self._run_preprocessor,
                zoom,
            )
            teacher.taps = Taps(self._places(1), teacher.model)
            for loss in self._feature_losses.values():
                norms = [
                    norm
                    for _, name in loss.layers
                    for norm in teacher.taps.taps[name].norms(teacher.model)
                ]
                loss.read_norms(norms)
                if 'rests' in loss.needs:
                    check_rests(self.student, teacher.model)
            check_told(teacher.pixels_from, 'model.teacher', self.student)
            self._check_family(teacher.model, 'model.teacher', teacher.name)
            teachers.append(teacher.to(next(self.student.parameters())))
        self._check_same_places(teachers)
        self.teachers = teachers
        print_log(self._summary(), logger='current')
        return teachers

    def _check_same_places(self, teachers: List[Teacher]) -> None:
        if not self.source.pairs_places:
            return
        for what, values in (
            ('scale', [teacher.pixels.zoom.scale for teacher in teachers]),
            (
                'data_preprocessor.pad_size_divisor',
                [teacher.pixels.pad_size_divisor for teacher in teachers],
            ),
        ):
            if len(set(values)) > 1:
                raise ValueError(
                    f'model.teacher: {what} of the teachers is {values}; it must be '
                    'one and the same, as what they say is compared place by place '
                    f'({self.source})'
                )

    def init_weights(self) -> None:
        """Initialise the student and build the teachers.

        The runner calls this before training only, so that a config that is
        just tested needs no teacher.
        """
        super().init_weights()
        self.build_teachers()

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> nn.Module:
        super()._apply(fn, *args, **kwargs)
        for teacher in self.teachers:
            teacher.to(next(self.student.parameters()))  # its device and precision
        return self

    def _check_run(self) -> None:
        super()._check_run()
        hub = MessageHub.get_current_instance()
        classes = (hub.get_info('dataset_meta') or {}).get('classes')
        needs_classes = bool(self.source.predictions) or any(
            'rests' in loss.needs for loss in self._feature_losses.values()
        )
        for teacher in self.teachers if needs_classes else ():
            teacher.check_classes(classes)

    def _roles(self) -> Tuple[List[tuple], List[tuple]]:
        guides = [
            (
                'teacher',
                f'{type(t.model).__name__} ({t.name})\n from {t.ckpt}\n'
                f' {describe_pixels(t.model.data_preprocessor)}, {t.pixels_from}'
                + (f'; images {t.pixels.zoom}' if t.pixels.zoom else ''),
            )
            for t in self.teachers
        ]
        frozen = sum(num_params(t.model, trained=False) for t in self.teachers)
        parameters = [
            (
                'trained',
                f'{num_params(self.student) / 1e6:.2f} M parameters of the student',
            ),
            (
                'frozen',
                f'{num_params(self, trained=False) / 1e6:.2f} M of the student, '
                f'{frozen / 1e6:.2f} M of the teacher',
            ),
        ]
        learnt = num_params(self.distill_losses)
        if learnt:
            text = f'{learnt / 1e6:.2f} M of connectors, which testing does not need'
            parameters.insert(1, ('', text))
        return guides, parameters

    @torch.no_grad()
    def look(self, inputs: Tensor, data_samples: list) -> Tuple[Rows, Tensor]:
        """The logits that student and teachers make of a batch, not to be trained.

        The student is run as it is, so take a copy of the distiller in eval mode
        while it is trained: the losses of some heads have a state of their own.

        Args:
            inputs (Tensor): The student's batch, shape (B, 3, H, W).
            data_samples (list): Its data samples, with ground truth.

        Returns:
            tuple[Rows, Tensor]: The student's logits and their labels, and the
            teachers' logits, averaged, shape (N, C).

        Raises:
            ValueError: If features alone are compared.
        """
        if 'logits' not in self.source.compared:
            raise ValueError('model.distill_losses compare features alone, no logits')
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


def _warn_of_no_truth(data_samples: list) -> None:
    """A detector without ground truth learns, by distillation alone, all the same."""
    truth = [sample.get('gt_instances') for sample in data_samples]
    if all(instances is not None and not len(instances) for instances in truth):
        print_log(
            f'The {len(truth)} images of the first batch have no ground truth at all. '
            'If they should, see that train_dataloader.dataset.metainfo.classes are '
            'spelt as the categories of the annotation file, since others are left out',
            logger='current',
            level=logging.WARNING,
        )


def _pair_with_ckpts(
    teacher: Union[dict, Sequence[dict], None], ckpt: Union[str, Sequence[str], None]
) -> list:
    teachers = [teacher] if isinstance(teacher, dict) else teacher
    check_type('model.teacher', teachers, (list, tuple), TEACHER)
    for each in teachers:
        check_type('model.teacher', each, dict, TEACHER)
    ckpts = [ckpt] * len(teachers) if ckpt is None else ckpt
    ckpts = [ckpts] if isinstance(ckpts, str) else ckpts
    check_type('model.teacher_ckpt', ckpts, (list, tuple), 'a path, or a list of paths')
    for each in ckpts:
        check_type(
            'model.teacher_ckpt', each, (str, type(None)), 'a path, a URL or None'
        )
    if not teachers or len(teachers) != len(ckpts):
        raise ValueError(
            f'model.teacher names {len(teachers)} teachers and model.teacher_ckpt '
            f'{len(ckpts)} checkpoints; give one for each'
        )
    pairs = []
    for each, path in zip(teachers, ckpts):
        cfg, zoom = Zoom.of(each)
        pairs.append((cfg, path, zoom))
    return pairs

import logging
from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..checks import (
    check_arguments,
    check_boolean,
    check_number,
    check_type,
    place,
)
from ..compat import is_instance
from ..registry import SOURCES
from .building import (
    build_model,
    initial_weights,
    load_pretrained,
    name_of,
    num_params,
)
from .distill_losses import (
    INCOMPARABLE,
    build_loss,
    check_weighs,
    compared,
    compares_features,
    labels_for,
    weights_for,
)
from .pixels import describe_pixels
from .sources import FeatureSource, Rows, Source, refusal
from .taps import Taps

STUDENT = 'student.'
OWN_LOSS = 'loss_cls'  # of a classifier, by detectors' name


class BaseDistiller(BaseModel, metaclass=ABCMeta):
    """A student with distillation losses beside its own.

    A subclass says, in :meth:`loss`, whose logits the student learns. Here are
    what all have in common: the student, the :class:`Source` that observes
    it, the named losses with their warm-up, and checkpoints that hold the
    student under its own names.

    Args:
        student (dict): See :class:`LogitDistiller`, as all of these.
        distill_losses (dict[str, dict]): Named losses.
        warmup (int): Length of their warm-up. Defaults to 0.
        warmup_by_epoch (bool): Its unit. Defaults to True.
        stop_epoch (int, optional): Epochs after which there is no distillation.
            Defaults to None.
        stop_iter (int, optional): The same in iterations. Defaults to None.
        source (dict, optional): Where logits come from. Defaults to None.
        data_preprocessor (dict, optional): The run's. Defaults to None.
        init_cfg (dict, optional): As in mmengine. Defaults to None.

    Raises:
        TypeError, ValueError: For a config that cannot work, naming the key,
            its value, and what would be right.
    """

    def __init__(
        self,
        student: dict,
        distill_losses: Dict[str, dict],
        warmup: int = 0,
        warmup_by_epoch: bool = True,
        stop_epoch: Optional[int] = None,
        stop_iter: Optional[int] = None,
        source: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        check_number('model.warmup', warmup, at_least=0, integer=True)
        check_boolean('model.warmup_by_epoch', warmup_by_epoch)
        self._check_stop(stop_epoch, stop_iter, warmup, warmup_by_epoch)
        if data_preprocessor is not None:
            check_type('model.data_preprocessor', data_preprocessor, dict, 'a dict')
        built, pixels_from = build_model(
            student, 'model.student', data_preprocessor, run_decides=True
        )
        super().__init__(built.data_preprocessor, init_cfg)
        _warn_of_own_steps(built)
        self.student = built
        check_type(
            'model.distill_losses',
            distill_losses,
            dict,
            "a dict of named losses, e.g. dict(loss_kd=dict(type='luminet_mm.KDLoss'))",
        )
        self.distill_losses = nn.ModuleDict(
            {
                name: build_loss(name, cfg, distill_losses)
                for name, cfg in distill_losses.items()
            }
        )
        if not self.distill_losses:
            raise ValueError('model.distill_losses is empty: name at least one loss')
        of_rows = {
            name: compared(loss)
            for name, loss in self.distill_losses.items()
            if not compares_features(loss)
        }
        # what nothing compares need not be there
        features_alone = not of_rows and source is None
        self.source = (
            _feature_source(built) if features_alone else build_source(source, built)
        )
        for name, prediction in of_rows.items():
            if prediction not in self.source.predictions:
                raise ValueError(
                    f'model.distill_losses.{name}: '
                    f'{type(self.distill_losses[name]).__name__} compares {prediction}'
                    f', and a {type(built).__name__} is compared by its '
                    f'{" and ".join(self.source.predictions)} only'
                )
            if prediction in self.source.weighed:
                check_weighs(name, self.distill_losses[name])
        self.source.compared |= set(of_rows.values())
        self.source.check_model(built, 'model.student')
        self.taps = Taps(self._places(0), built)
        self.warmup = warmup
        self.warmup_by_epoch = warmup_by_epoch
        self.stop_epoch = stop_epoch
        self.stop_iter = stop_iter
        self.student_name = name_of(student)
        self._pixels_from = pixels_from
        self._is_first = True
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

    def __getattr__(self, name: str) -> Any:
        """What the distiller has not is its student's, so that upstream's code finds
        ``runner.model.bbox_head`` as on the plain model."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            student = self.__dict__.get('_modules', {}).get('student')
            if student is None or name.startswith('__'):
                raise  # too early, or how Python asks what an object can do
            return getattr(student, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What only the student has is set there, once the distiller is initialised;
        before that, names are being given to its own parts."""
        if self.__dict__.get('_is_init') and name not in self.__dict__:
            try:
                super().__getattribute__(name)
            except AttributeError:
                student = self._modules['student']
                if name not in self._modules and hasattr(student, name):
                    setattr(student, name, value)
                    return
        super().__setattr__(name, value)

    def named_modules(
        self, memo: Optional[set] = None, prefix: str = '', *args: Any, **kwargs: Any
    ) -> Iterator[Tuple[str, nn.Module]]:
        """As torch's, but the student's modules, and with them its parameters, have the
        names that they have in checkpoints, which upstream's constructors look for."""
        student = f'{prefix}.{STUDENT}' if prefix else STUDENT
        for name, module in super().named_modules(memo, prefix, *args, **kwargs):
            if f'{name}.'.startswith(student):
                name = f'{prefix}.{name[len(student) :]}'.strip('.')
            yield name, module

    def get_layer_depth(self, param_name: str) -> Tuple[int, int]:
        """Depth of a parameter, for mmpretrain's layer-wise learning rates.

        Args:
            param_name (str): Its path, such as 'student.backbone.cls_token'.

        Returns:
            tuple[int, int]: Its layer, as the model that holds it counts them, and the
            number of layers.
        """
        parts = param_name.split('.')
        for end in range(1, len(parts)):
            model = self.get_submodule('.'.join(parts[:end]))
            if hasattr(model, 'get_layer_depth'):
                return model.get_layer_depth('.'.join(parts[end:]))
        return self.student.get_layer_depth(param_name)

    @abstractmethod
    def loss(self, inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """The student's own losses and, beside them, the distillation losses.

        Args:
            inputs (Tensor): The student's batch, shape (B, 3, H, W).
            data_samples (list): Its data samples.

        Returns:
            dict[str, Tensor]: Losses by name.
        """

    def _observed_loss(
        self, model: BaseModel, inputs: Tensor, data_samples: list
    ) -> Tuple[Dict[str, Tensor], Rows]:
        """The model's own losses, and the logits that it made for them."""
        if self._is_first:
            self._check_run()
        with self.source.observe(model, data_samples) as rows:
            with self.taps.observe(model) as rows.features:
                with _told_of_precision(model):
                    losses = model(inputs, data_samples, mode='loss')
        rows.image_size = tuple(inputs.shape[-2:])
        if 'loss' in losses:  # a classifier's; mmengine logs the total by that name
            losses = {OWN_LOSS if k == 'loss' else k: v for k, v in losses.items()}
        clash = sorted(set(losses) & set(self.distill_losses))
        if clash:
            raise ValueError(
                f'model.distill_losses: the student has losses of its own named {clash}'
                '; choose other names'
            )
        return losses, rows

    def _distill(self, rows: Rows, taught: Rows) -> Dict[str, Tensor]:
        """The losses of the student's rows and a teacher's."""
        factor = self._warmup_factor()
        losses = {}
        for name, distill_loss in self.distill_losses.items():
            if compares_features(distill_loss):
                continue
            prediction = compared(distill_loss)
            preds_S, preds_T = getattr(rows, prediction), getattr(taught, prediction)
            given = labels_for(name, distill_loss, rows.labels_of(prediction))
            given.update(weights_for(distill_loss, rows.weights_of(prediction)))
            try:
                losses[name] = factor * distill_loss(preds_S, preds_T.detach(), **given)
            except INCOMPARABLE as error:
                if not self._is_first:
                    raise
                raise ValueError(
                    f'model.distill_losses.{name}: {type(distill_loss).__name__} cannot'
                    f' compare {prediction} of the shapes {_shape(preds_S)} of the '
                    f'student and {_shape(preds_T)} of the teacher; it must take two '
                    f'matrices of rows. {type(error).__name__}: {error}'
                ) from error
            if not len(preds_S):  # the mean of other packages' losses is then NaN
                losses[name] = losses[name].nan_to_num()
        return losses

    def _warmup_factor(self) -> float:
        if not self.warmup:
            return 1.0
        counter = 'epoch' if self.warmup_by_epoch else 'iter'
        done = MessageHub.get_current_instance().get_info(counter, self.warmup)
        return min((done + 1) / self.warmup, 1.0)

    @property
    def is_over(self) -> bool:
        """Whether the run has gone beyond ``stop_epoch`` or ``stop_iter``."""
        hub = MessageHub.get_current_instance()
        return any(
            last is not None and hub.get_info(counter, 0) >= last
            for counter, last in (('epoch', self.stop_epoch), ('iter', self.stop_iter))
        )

    def _places(self, side: int) -> List[Tuple[str, str]]:
        """What the losses of features compare of the student, 0, or of the teacher, 1:
        each place and its config key."""
        role = ('student', 'teacher')[side]
        return [
            (pair[side], f'model.distill_losses.{name}.layers, of the {role}')
            for name, loss in self.distill_losses.items()
            if compares_features(loss)
            for pair in loss.layers
        ]

    @staticmethod
    def _check_stop(
        stop_epoch: Optional[int],
        stop_iter: Optional[int],
        warmup: int,
        warmup_by_epoch: bool,
    ) -> None:
        units = (('stop_epoch', stop_epoch, True), ('stop_iter', stop_iter, False))
        for name, stop, by_epoch in units:
            if stop is None:
                continue
            check_number(f'model.{name}', stop, at_least=1, integer=True)
            if by_epoch == warmup_by_epoch and stop < warmup:
                raise ValueError(
                    f'model.{name}={stop} is before the end of model.warmup={warmup}, '
                    'so the distillation losses would never reach their full weight'
                )

    def _check_run(self) -> None:
        """Before the first iteration: what only the running loop knows."""
        unit = 'epochs' if self.warmup_by_epoch else 'iters'
        length = MessageHub.get_current_instance().get_info(f'max_{unit}', self.warmup)
        if self.warmup > length:
            shortened = max(length // 2, 1)
            print_log(
                f'model.warmup={self.warmup} is longer than the run of {length} {unit},'
                ' so the distillation losses would never reach their full weight; it '
                f'is shortened to {shortened}. An iteration-based loop is one epoch: '
                'count its iterations with model.warmup_by_epoch=False',
                logger='current',
                level=logging.WARNING,
            )
            self.warmup = shortened
        self._check_stop_in_run()

    def _check_stop_in_run(self) -> None:
        """What compares epochs with iterations, of which the loop knows how many."""
        info = MessageHub.get_current_instance().get_info
        lengths = {unit: info(f'max_{unit}', 0) for unit in ('epochs', 'iters')}
        if not all(lengths.values()):
            return  # outside of a run
        unit = 'epochs' if self.warmup_by_epoch else 'iters'
        in_full = (self.warmup - 1) / lengths[unit]  # share of the run without it
        stops = (
            ('stop_epoch', self.stop_epoch, 'epochs'),
            ('stop_iter', self.stop_iter, 'iters'),
        )
        for name, stop, unit in stops:
            length = lengths[unit]
            if stop is not None and stop / length <= in_full:
                raise ValueError(
                    f'model.{name}={stop} is before the end of model.warmup='
                    f'{self.warmup} in this run of {lengths["epochs"]} epochs, '
                    f'{lengths["iters"]} iterations, so the distillation losses would '
                    'never reach their full weight'
                )
            if stop is not None and stop > length:
                print_log(
                    f'model.{name}={stop} is beyond the run of {length} {unit}, so '
                    'distillation goes on to its end. An iteration-based loop is one '
                    'epoch: count its iterations with model.stop_iter',
                    logger='current',
                    level=logging.WARNING,
                )

    def _check_family(self, model: BaseModel, key: str, name: str) -> None:
        """Check that the model's logits can be compared with the student's."""
        if not self.source.fits(model):
            raise ValueError(
                f'{key}={name!r} is a {type(model).__name__}, which cannot teach a '
                f'{type(self.student).__name__}: {type(self.source).__name__} needs '
                'both of one family (image classifiers, two-stage or dense detectors)'
            )
        self.source.check_model(model, key)
        self.source.check(self.student, model, key)

    def init_weights(self) -> None:
        """Initialise the student.

        Raises:
            ValueError: If no parameter of the student is trained.
        """
        if not num_params(self.student):
            raise ValueError(
                'model.student has no parameter that is trained: all are frozen '
                '(frozen_stages, requires_grad), so there is nothing to teach'
            )
        super().init_weights()
        load_pretrained(self.student)

    @abstractmethod
    def _roles(self) -> Tuple[List[tuple], List[tuple]]:
        """Lines of the summary: who teaches, and whose parameters are trained."""

    def _summary(self) -> str:
        """What is distilled, for the log."""
        guides, parameters = self._roles()
        lines = [
            (
                'student',
                f'{type(self.student).__name__} ({self.student_name})\n'
                f' starts from {initial_weights(self.student)}\n'
                f' {describe_pixels(self.data_preprocessor)}, {self._pixels_from}',
            ),
            *guides,
            ('distilled', f'{self.source} ({type(self.source).__name__})'),
            *self.distill_losses.items(),
            ('warm-up', self._warmup_text()),
            *self._stop_lines(),
            *parameters,
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

    def _stop_lines(self) -> List[Tuple[str, str]]:
        units = (('epochs', self.stop_epoch), ('iterations', self.stop_iter))
        return [('end', f'after {n} {unit}') for unit, n in units if n is not None]

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args: Any
    ) -> None:
        """Accept the plain student's names, the inverse of the state-dict hook."""
        own = {name for name, _ in self.named_children()} - {'data_preprocessor'}
        if not prefix and is_instance(self.student, 'mmdet.models', 'BaseDetector'):
            # some rename what was another's, but only of a whole checkpoint
            kept = {key: state_dict.pop(key) for key in [*state_dict] if _is(key, own)}
            self.student._load_from_state_dict(
                state_dict, prefix, {}, False, [], [], []
            )
            state_dict.update(kept)
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = key[len(prefix) :]
            if not _is(name, own):
                state_dict[prefix + STUDENT + name] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def _is(name: str, parts: Set[str]) -> bool:
    """Whether a weight is of one of the parts of these names."""
    return name.split('.')[0] in parts


def _drop_student_prefix(
    module: BaseDistiller, state_dict: dict, prefix: str, local_metadata: dict
) -> None:
    """State-dict hook: save the student's weights under its own names.

    They are those that it gives where it is alone: mmpretrain's wrappers of timm and
    HuggingFace rename in a hook whose result torch drops in a tree.
    """
    old = prefix + STUDENT
    keys = [key for key in state_dict if key.startswith(old)]
    values = [state_dict.pop(key) for key in keys]
    keep_vars = any(isinstance(v, Tensor) and v.requires_grad for v in values)
    own = module.student.state_dict(prefix=prefix, keep_vars=keep_vars)
    state_dict.update(own)
    metadata = getattr(state_dict, '_metadata', {})
    for key in [key for key in metadata if key.startswith(old)]:
        metadata[prefix + key[len(old) :]] = metadata.pop(key)


def _warn_of_own_steps(model: BaseModel) -> None:
    """A distiller is what the runner trains, validates and tests."""
    steps = ('train_step', 'val_step', 'test_step', 'parse_losses')
    own = [
        name
        for name in steps
        if getattr(type(model), name, None) is not getattr(BaseModel, name)
    ]
    if own:
        print_log(
            f'model.student: {type(model).__name__} has its own {" and ".join(own)}, '
            "which do not run in a distillation: mmengine's do; put what they do into "
            '`loss` and `predict`',
            logger='current',
            level=logging.WARNING,
        )


@contextmanager
def _told_of_precision(model: BaseModel) -> Iterator[None]:
    """Say in a sentence that an operator of a model has no bfloat16."""
    try:
        yield
    except RuntimeError as error:
        if 'BFloat16' not in str(error):
            raise
        raise ValueError(
            f"optim_wrapper.dtype='bfloat16': an operator of the {type(model).__name__}"
            " has none, as mmcv's NMS and RoIAlign; set it to 'float16'. "
            f'{type(error).__name__}: {error}'
        ) from error


def build_source(source: Optional[dict], student: BaseModel) -> Source:
    """The source that the config names, or else the first that fits.

    Args:
        source (dict, optional): What a distiller's config says of it.
        student (BaseModel): The model whose logits it finds.

    Raises:
        TypeError, ValueError: For an unknown or wrong one, or if none fits.
    """
    SOURCES.import_from_location()
    families = SOURCES.module_dict
    if source is None:
        candidates = [family() for family in families.values()]
    else:
        check_type('model.source', source, dict, 'a dict with the type of a family')
        if source.get('type') not in families:
            raise ValueError(
                f'model.source.type={source.get("type")!r} is unknown, the families '
                f'are {sorted(families)}'
            )
        check_arguments('model.source', families[source['type']], source)
        with place('model.source'):
            candidates = [SOURCES.build(source)]
    for candidate in candidates:
        if candidate.fits(student):
            return candidate
    if source is not None and any(family.fits(student) for family in families.values()):
        raise ValueError(
            f'model.source.type={source["type"]!r} does not fit model.student, a '
            f'{type(student).__name__}; leave model.source out to find the right one'
        )
    raise ValueError(
        f'model.student is a {type(student).__name__}, which none of '
        f'{[type(c).__name__ for c in candidates]} knows how to distil: '
        f'{refusal(student)}'
    )


def _feature_source(student: BaseModel) -> Source:
    if not FeatureSource.fits(student):
        raise ValueError(
            f'model.student is a {type(student).__name__}, whose features cannot be '
            'extracted: it has no extract_feat'
        )
    return FeatureSource()


def _shape(preds: Any) -> Any:
    return tuple(preds.shape) if isinstance(preds, Tensor) else type(preds).__name__

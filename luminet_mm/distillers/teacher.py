import logging
import re
from collections import OrderedDict
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import torch
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.runner import autocast
from torch import Tensor
from torch.utils._pytree import tree_flatten

from ..checkpoints import CONNECTORS, classes_of, read_checkpoint
from ..config import load_cfg
from .acceleration import (
    accelerate,
    compile_extractors,
    fastest,
    full_precision,
)
from .building import build_model, name_of
from .pixels import PixelTranslator, valid_shapes
from .sources import Rows, Source
from .taps import Taps
from .zoom import NO_ZOOM, Zoom

TOLERANCE = 1e-4  # of an accelerated teacher's features, to the largest


class Teacher:
    """A frozen model that stays out of the student's module tree.

    It is a plain object, so that no parameter of it reaches the optimizer, DDP,
    EMA, weight decay or a checkpoint, and nothing can put it in train mode.

    Args:
        cfg (dict): The model, as :func:`luminet_mm.config.load_model_cfg` takes
            it.
        ckpt (str, optional): Its weights: a path, a URL, or the model zoo's name
            of a config (``mmdet::...``) for the weights that the zoo lists.
            Defaults to None, which stands for ``cfg['cfg_path']`` if that
            is a name of the model zoo.
        preprocessor (BaseDataPreprocessor): The student's preprocessor, whose
            batches the teacher will be given.
        accelerate (bool): Whether it may run as :func:`accelerate` makes it. Defaults
            to True.
        compile (bool): Whether :func:`compile_extractors` is to have it. Defaults to
            False.
        run_preprocessor (dict, optional): The run's, for a model whose config has
            none. Defaults to None.
        zoom (Zoom): The size at which it sees the student's images. Defaults to theirs.

    Attributes:
        taps (Taps): Whose features are seen when it predicts; none at first.

    Raises:
        ValueError: If the config or the weights cannot be found or read, or do
            not fit each other completely.
    """

    def __init__(
        self,
        cfg: dict,
        ckpt: Optional[str],
        preprocessor: BaseDataPreprocessor,
        accelerate: bool = True,
        compile: bool = False,
        run_preprocessor: Optional[dict] = None,
        zoom: Zoom = NO_ZOOM,
    ) -> None:
        cfg = ConfigDict(cfg)
        self.name = name_of(cfg)
        self.ckpt = _resolve_ckpt(cfg, ckpt)
        checkpoint = read_checkpoint(self.ckpt, 'model.teacher_ckpt')
        # A student must start from the same weights and draw the same samples
        # whatever its teacher is, so a teacher's initialisation draws apart.
        with torch.random.fork_rng(devices=[]):  # models are built on the CPU
            self.model, self.pixels_from = build_model(
                cfg, 'model.teacher', run_preprocessor
            )
        self._load(checkpoint)
        self.model.eval().requires_grad_(False)
        self._to_accelerate, self._to_compile = accelerate, compile
        self.taps = Taps((), self.model)
        self.classes = classes_of(checkpoint)
        pixels = (preprocessor, self.model.data_preprocessor)
        self.pixels = PixelTranslator(*pixels, zoom)

    def _load(self, checkpoint: dict) -> None:
        state_dict = checkpoint.get('state_dict', checkpoint)
        problem = self._load_state_dict(state_dict)
        if problem:
            raise ValueError(
                f'model.teacher_ckpt={self.ckpt!r} does not fit model.teacher='
                f'{self.name!r}; a teacher must load completely, so use the '
                f'checkpoint of this very config{_hint(checkpoint)}. '
                f'{_shorten(problem)}'
            )

    def _load_state_dict(self, state_dict: Any) -> str:
        """Load all weights, or say what is wrong with them."""
        if not isinstance(state_dict, dict):
            return f'Its state_dict is a {type(state_dict).__name__}, not a dict'
        own = self.model.state_dict()
        # A buffer that was not finite before, such as a mask, may stay so
        masks = _not_finite(self.model.named_buffers())
        weights = OrderedDict(
            # as DistributedDataParallel saves them
            (re.sub(r'^module\.', '', str(name)), value)
            for name, value in state_dict.items()
        )
        for name in [name for name in weights if name.startswith(CONNECTORS)]:
            del weights[name]
        weights._metadata = getattr(state_dict, '_metadata', OrderedDict())
        for name, value in weights.items():
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            floating = isinstance(value, Tensor) and value.is_floating_point()
            if name in own and own[name].is_floating_point() and not floating:
                return f'{name} is {kind}, where the model has {own[name].dtype}'
        shapes = []
        try:
            missing, unexpected = self.model.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            shapes = [str(error)]
            missing = [name for name in own if name not in weights]
            unexpected = [name for name in weights if name not in own]
        unexpected = [name for name in unexpected if not _is_heads(name, weights, own)]
        # What the model does not take from its own weights, as Swin V2, it needs not
        missing = [name for name in missing if 'num_batches_tracked' not in name]
        if missing:
            unused = self.model.load_state_dict(self.model.state_dict(), strict=False)
            missing = [name for name in missing if name not in unused.missing_keys]
        spoilt = _not_finite(self.model.state_dict().items())
        problems = (
            ('unexpected keys', unexpected),
            ('missing keys', missing),
            ('nan or inf', [name for name in spoilt if name not in masks]),
        )
        named = [
            f'{kind} in the checkpoint: {", ".join(names[:10])}'
            + f', ... ({len(names)} in all)' * (len(names) > 10)
            for kind, names in problems
            if names
        ]
        return '; '.join(named + shapes)

    def check_classes(self, classes: Optional[Sequence[str]]) -> None:
        """Compare the classes of the training data with those of the checkpoint.

        A class that both know must have one index. Names that only one of them
        knows are let pass, since releases spell some differently.

        Where they know none in common, a warning says so.

        Args:
            classes (Sequence[str], optional): Class names of the training data
                set; None, as for a checkpoint without names, is not compared.

        Raises:
            ValueError: If their number or their order differs.
        """
        if not classes or not self.classes:
            return
        if len(classes) != len(self.classes):
            raise ValueError(
                f'the teacher of {self.ckpt!r} was trained on {len(self.classes)} '
                f'classes, the training data set has {len(classes)}'
            )
        if not set(classes) & set(self.classes):
            print_log(
                f'The teacher of {self.ckpt!r} was trained on as many classes as the '
                f'training data set has, but none has the same name: '
                f'{_shorten(str(list(self.classes)), 200)} and '
                f'{_shorten(str(list(classes)), 200)}. See that they are the same ones',
                logger='current',
                level=logging.WARNING,
            )
        position = {name: index for index, name in enumerate(classes)}
        for index, name in enumerate(self.classes):
            # names may repeat (ImageNet's 'crane'), so look at the place first
            if classes[index] != name and name in position:
                raise ValueError(
                    f'class {name!r} is number {index} for the teacher of '
                    f'{self.ckpt!r}, but number {position[name]} in the training data '
                    'set; set train_dataloader.dataset.metainfo.classes to the order '
                    f'of the teacher: {list(self.classes)}'
                )

    def to(self, *args: Any, **kwargs: Any) -> 'Teacher':
        """Move or cast the model and what translates its inputs, as torch's ``to``."""
        self.model.to(*args, **kwargs)
        self.pixels.to(*args, **kwargs)
        return self

    def prepare_inputs(self, inputs: Tensor, data_samples: Sequence) -> Tensor:
        """The student's batch as the teacher's own preprocessor would make it.

        Args:
            inputs (Tensor): Shape (B, 3, H, W).
            data_samples (Sequence): The batch's data samples.

        Returns:
            Tensor: Shape (B, 3, H', W'), see :class:`PixelTranslator`.
        """
        held = next(self.model.parameters())
        if (held.device, held.dtype) != (inputs.device, inputs.dtype):
            self.to(inputs)  # a copy of the distiller, such as EMA's, took it away
        return self.pixels(inputs, data_samples)

    def factors(
        self, inputs: Tensor, data_samples: Sequence
    ) -> List[Tuple[float, float]]:
        """How many of its pixels one of the student's is, see :meth:`Zoom.factors`."""
        return self.pixels.zoom.factors(valid_shapes(inputs, data_samples))

    @torch.no_grad()
    def accelerate(self, inputs: Tensor, data_samples: Sequence) -> None:
        """Go on as what :func:`accelerate` makes of the model, if that sees the same.

        On a GPU the order of channels that takes less time there is kept.

        Only the first call does anything, and only to a model with a ``backbone``. It
        holds two or three backbones while it compares their features, so call it when
        the student does not need the memory.

        Args:
            inputs (Tensor): The student's batch, shape (B, 3, H, W).
            data_samples (Sequence): The batch's data samples.
        """
        to_accelerate, self._to_accelerate = self._to_accelerate, False
        to_compile, self._to_compile = self._to_compile, False
        if not (to_accelerate or to_compile):
            return
        if getattr(self.model, 'backbone', None) is None:
            return  # of another library, wrapped
        inputs = self.prepare_inputs(inputs, data_samples)
        if to_accelerate:
            self._accelerate(inputs)
        if to_compile:
            self._compile(inputs)

    def _accelerate(self, inputs: Tensor) -> None:
        same, why = self._accelerated(inputs, inputs.device.type == 'cpu')
        if not same:
            print_log(
                f'The teacher {self.name!r} runs as it is, without its batch '
                f'normalisation folded into its convolutions: {why}',
                logger='current',
            )
            return
        order = fastest(
            same, lambda model: self._features(model, inputs), inputs.device
        )
        self.model = same[order]
        print_log(
            f'The teacher {self.name!r} runs with its batch normalisation folded into '
            f'its convolutions, {order}',
            logger='current',
        )

    def _accelerated(
        self, inputs: Tensor, first_only: bool
    ) -> Tuple[Dict[str, BaseModel], str]:
        """Faster models that see the same, by their order, or why there is none.

        The first alone is what a CPU prefers; a GPU may prefer either.
        """
        same, why = {}, 'it then sees something else'
        with autocast(inputs.device.type, enabled=False), full_precision():
            for order in ('channels last', 'channels first'):
                try:
                    model = accelerate(self.model, order == 'channels last')
                    seen = [
                        self._features(each, inputs) for each in (model, self.model)
                    ]
                except Exception as error:  # of code that was not made for it
                    why = f'{type(error).__name__}: {error}'
                    continue
                if _close(*seen):
                    same[order] = model
                    if first_only:
                        break
        return same, why

    def _compile(self, inputs: Tensor) -> None:
        try:
            with autocast(inputs.device.type, enabled=False), full_precision():
                plain = self._features(self.model, inputs)
                undo = compile_extractors(self.model)
                if _close(self._features(self.model, inputs), plain):
                    return
            undo()
            why = 'it then sees something else'
        except Exception as error:  # of code that was not made for it
            why = f'{type(error).__name__}: {error}'
        print_log(
            f'The teacher {self.name!r} is not compiled: {why}',
            logger='current',
            level=logging.WARNING,
        )

    def _features(self, model: BaseModel, inputs: Tensor) -> tuple:
        """What a model extracts from a batch, and what its taps see meanwhile."""
        with self.taps.observe(model, partly=True) as tapped:
            feats = model.extract_feat(inputs)
        return feats, tapped

    @torch.no_grad()
    def predict(
        self,
        source: Source,
        inputs: Tensor,
        data_samples: Sequence,
        rows: Rows,
    ) -> Rows:
        """What the teacher predicts of the student's rows.

        Args:
            source (Source): The family of student and teacher.
            inputs (Tensor): The student's batch, shape (B, 3, H, W).
            data_samples (Sequence): The batch's data samples.
            rows (Rows): What the source saw of the student.

        Returns:
            Rows: Predictions of the same rows, and the features of its taps.
        """
        images = self.prepare_inputs(inputs, data_samples)
        zoom = self.pixels.zoom
        rows.octaves = zoom.octaves or 0
        rows.zoom = None
        if zoom:  # whatever the precision of the images
            factors = self.factors(inputs, data_samples)
            rows.zoom = inputs.new_tensor(factors, dtype=torch.float32)
        ((x, y),) = zoom.factors([inputs.shape[-2:]])
        height, width = images.shape[-2:]
        rows.shown = (round(height / y), round(width / x))
        with self.taps.observe(self.model) as features:
            taught = source.teach(self.model, images, rows)
        taught.features = features
        taught.image_size = rows.shown
        return taught

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        # EMA copies the distiller; one teacher serves both
        return self


def _close(a: Any, b: Any) -> bool:
    """Whether features, nested as a backbone gives them, differ by rounding only."""
    (a, form_a), (b, form_b) = tree_flatten(a), tree_flatten(b)
    return form_a == form_b and all(
        bool((x - y).abs().max() <= TOLERANCE * y.abs().max())
        if isinstance(x, Tensor)
        else x is y
        for x, y in zip(a, b)
    )


def _resolve_ckpt(cfg: ConfigDict, ckpt: Optional[str]) -> str:
    cfg_path = cfg.get('cfg_path', '')
    if ckpt is None and '::' in cfg_path:
        ckpt = cfg_path
    if not ckpt:
        raise ValueError(
            'model.teacher_ckpt is not set, and an untrained teacher teaches '
            "noise: give a path, a URL or the model zoo's name of a config, e.g. "
            '--cfg-options model.teacher_ckpt=teacher.pth'
        )
    if '::' in ckpt:
        return load_cfg(ckpt, 'model.teacher_ckpt', pretrained=True).model_path
    return ckpt


def _is_heads(name: str, weights: dict, own: dict) -> bool:
    """Whether they are the head's, which DDQ's decoder has too once it was trained."""
    heads = re.sub(r'^decoder\.', 'bbox_head.', name)
    return heads in own and heads in weights and weights[heads].equal(weights[name])


def _not_finite(tensors: Iterable[Tuple[str, Any]]) -> List[str]:
    """Names of tensors that hold nan or inf."""
    return [
        name
        for name, value in tensors
        if isinstance(value, Tensor) and not value.isfinite().all()
    ]


def _hint(checkpoint: dict) -> str:
    """What a file of another kind may be, from its names."""
    weights = checkpoint.get('state_dict', checkpoint)
    names = [str(name) for name in weights] if isinstance(weights, dict) else []
    if any(name.startswith('architecture.') for name in names):
        return (
            "; this is the checkpoint of an mmrazor algorithm, whose student's weights "
            "have names that begin with 'architecture.': take these alone, without it"
        )
    if 'steps' in names or any(name.startswith('ema_') for name in names):
        return (
            '; this holds weights averaged by EMA: take the state_dict of a checkpoint '
            'of the run, in which they have their own names'
        )
    if not names:
        return '; its state_dict is empty'
    parts = [
        name
        for name, value in checkpoint.items()
        if isinstance(value, dict)
        and any(isinstance(v, Tensor) for v in value.values())
    ]
    if weights is checkpoint and parts:
        return (
            f'; this has no state_dict, but weights as {" and ".join(map(repr, parts))}'
            ': save those that you mean as dict(state_dict=...)'
        )
    return ''


def _shorten(text: str, length: int = 400) -> str:
    return text if len(text) <= length else f'{text[:length]} ...'

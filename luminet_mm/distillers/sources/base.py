from abc import ABCMeta, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..zoom import Zoom


@dataclass
class Rows:
    """What is compared of one step of a model: rows, and features beside them.

    Rows are predictions that a :class:`Source` finds, one for each sample of its kind:
    images, RoIs, anchors. Features are what modules gave on the way to them, whole maps
    of the batch; the distiller's taps (:mod:`luminet_mm.distillers.taps`) see them
    while the source has the model run, whichever source that is.

    Attributes:
        logits (Tensor, optional): Logits, shape (N, C), the student's with gradient.
        labels (Tensor, optional): Class index of each row, shape (N,); None
            where the student was given no hard labels.
        features (dict[str, list[Tensor]]): By the name of their tap, each of shape
            (B, C, H, W) or (B, C), the student's with gradient.
        image_size (tuple[int, int], optional): Height and width of the images that the
            model was given, with their padding, in pixels of the student's.
        zoom (Tensor, optional): How many pixels of the teacher that is asked one of the
            student's is, along x and y, of each image, shape (B, 2); None where it
            sees them at their size.
        octaves (int): By how many levels of a pyramid the teacher's maps are shifted
            then: its level i + octaves has the size of the student's level i.
        shown (tuple[int, int], optional): Height and width of the images that the
            teacher that is asked is given, with their padding, in pixels of the
            student's.
    """

    logits: Optional[Tensor] = None
    labels: Optional[Tensor] = None
    features: Dict[str, List[Tensor]] = field(default_factory=dict)
    image_size: Optional[Tuple[int, int]] = None
    zoom: Optional[Tensor] = None
    octaves: int = 0
    shown: Optional[Tuple[int, int]] = None

    def labels_of(self, prediction: str) -> Optional[Tensor]:
        """Labels of the rows of one of the source's predictions."""
        return self.labels

    def weights_of(self, prediction: str) -> Optional[Tensor]:
        """Weight of each row of one of the source's predictions, shape (N,), from 0 to
        1; None where all count the same."""
        return None


class Source(metaclass=ABCMeta):
    """Where a family of models makes its logits.

    A source observes the student's own, untouched ``loss`` and has the teacher
    predict the same rows. To support another family, write a subclass in a file of
    its own and register it in ``luminet_mm.registry.SOURCES``; the
    distiller takes the first whose :meth:`fits` accepts the student.

    Attributes:
        rows_are_images (bool): Whether the rows are the batch's images, the same
            for every model, and not of a model's own choice, as sampled RoIs.
        predictions (tuple[str, ...]): Attributes of its rows that a loss can compare.
        compared (frozenset[str]): The logits, and those that the losses compare; the
            distiller adds them, so that nothing is made that nobody asked for.
        weighed (frozenset[str]): Those whose rows do not all count the same.
        pairs_places (bool): Whether rows are places of maps, so that all teachers must
            have maps of the same places.
        unlabelled (bool): Whether labels do not count, or there are none, so that a
            row's class is what the teachers find likeliest; the distiller says so.
    """

    rows_are_images = False
    predictions: Tuple[str, ...] = ('logits',)
    compared: FrozenSet[str] = frozenset({'logits'})
    weighed: FrozenSet[str] = frozenset()
    pairs_places = False
    unlabelled = False

    @classmethod
    @abstractmethod
    def fits(cls, model: BaseModel) -> bool:
        """Whether the model belongs to the family, by its class alone."""

    def check_model(self, model: BaseModel, key: str) -> None:  # noqa: B027
        """Check, before the first iteration, that the model's rows can be taken.

        Called when :attr:`compared` is complete.

        Args:
            model (BaseModel): A model of the family.
            key (str): Its config key: 'model.student', or another's, such as
                'model.teacher'.

        Raises:
            ValueError: If they cannot, naming the part that is in the way.
        """

    @abstractmethod
    def check(self, student: BaseModel, teacher: BaseModel, key: str) -> None:
        """Compare two models of the family before the first iteration.

        Args:
            student (BaseModel): The one that learns.
            teacher (BaseModel): The one that teaches.
            key (str): The config key of the teacher, for error messages.

        Raises:
            ValueError: If their logits cannot correspond row by row.
        """

    def check_zoom(self, zoom: Zoom, key: str, student: BaseModel) -> None:
        """Check that a teacher may see the student's images at another size.

        Args:
            zoom (Zoom): At which.
            key (str): The config key of the teacher, for error messages.
            student (BaseModel): The one that learns.

        Raises:
            ValueError: If its rows could not be paired with the student's then, which
                a family is taken to be unless it says otherwise here.
        """
        raise ValueError(
            f'{key} is {zoom}, and {type(self).__name__} cannot pair the rows of two '
            'sizes; remove scale and size'
        )

    def family(self, model: BaseModel) -> str:
        """Names of the classes that decide what the model's rows are.

        Args:
            model (BaseModel): A model that :meth:`check_model` accepts.

        Returns:
            str: E.g. 'ImageClassifier LinearClsHead'.
        """
        return class_names(model)

    def for_one(self, role: str) -> 'Source':
        """A source that asks one model as student and as teacher alike.

        Args:
            role (str): 'student' or 'teacher', which the model is.

        Returns:
            Source: This one, unless the two are asked differently.
        """
        return self

    @abstractmethod
    def observe(
        self, student: BaseModel, data_samples: list
    ) -> 'AbstractContextManager[Rows]':
        """Watch one ``student.loss`` inside a ``with`` block.

        Whatever upstream asks the observed modules besides, the rows are those that
        the loss is computed from.

        Returns:
            AbstractContextManager: Gives a :class:`Rows` that is filled
            when the block ends.
        """

    @abstractmethod
    def teach(self, teacher: BaseModel, inputs: Tensor, rows: Rows) -> Rows:
        """What the teacher predicts of the rows that the student made.

        A family whose teacher has a say in which rows are compared completes
        ``rows`` here, when the first teacher is asked.

        Args:
            teacher (BaseModel): A model of the family, in eval mode.
            inputs (Tensor): The batch as the teacher's preprocessor would make
                it, shape (B, 3, H, W).
            rows (Rows): What :meth:`observe` saw.

        Returns:
            Rows: The teacher's predictions of the same N rows.
        """

    def check_rows(self, student: BaseModel, rows: Rows, num_images: int) -> None:
        """Check the first iteration's rows, when the teacher has been asked.

        Args:
            student (BaseModel): The model that made them.
            rows (Rows): Its rows, complete.
            num_images (int): Size of the batch.

        Raises:
            ValueError: If they are no finite matrix of logits with, maybe, a class
                index for each row, naming the part of the model that made them.
        """
        check_matrix(type(student).__name__, rows)

    @abstractmethod
    def __str__(self) -> str:
        """What is distilled from where, for the table logged at start-up."""


def class_names(*parts: Any) -> str:
    """Names of the classes of those parts that there are."""
    return ' '.join(type(part).__name__ for part in parts if part is not None)


def only_call(name: str, outputs: list) -> Any:
    """What a module returned that must run once in a step.

    Args:
        name (str): The module, for error messages.
        outputs (list): What its calls returned.

    Raises:
        ValueError: If it ran more or less often, so that nobody knows which of its
            outputs the loss is computed from.
    """
    if len(outputs) != 1:
        raise ValueError(
            f'{name} ran {len(outputs)} times in one step, so which of its predictions '
            'the loss is computed from is not known'
        )
    return outputs[0]


def is_sigmoid(head: nn.Module) -> bool:
    """Whether a detector's head has no column of background."""
    return head.cls_out_channels == head.num_classes


def add_background(logits: Tensor) -> Tensor:
    """The column that sigmoids imply: each weighs its class against a logit of 0.

    Args:
        logits (Tensor): Logits of sigmoids, shape (N, C).

    Returns:
        Tensor: With a last column of zeros, shape (N, C + 1).
    """
    return torch.cat([logits, logits.new_zeros(len(logits), 1)], dim=1)


def check_matrix(
    name: str,
    rows: Rows,
    num_rows: Optional[int] = None,
    num_columns: Optional[int] = None,
) -> None:
    """Check a logit matrix and its labels.

    Args:
        name (str): What made them, for error messages.
        rows (Rows): Logits of shape (N, C), labels of shape (N,) or None.
        num_rows (int, optional): N. Defaults to None, any number.
        num_columns (int, optional): C. Defaults to None, any number.

    Raises:
        ValueError: If they are anything else, or a logit is not finite.
    """
    logits, labels = rows.logits, rows.labels
    if not (isinstance(logits, Tensor) and logits.is_floating_point()):
        made = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f'{name} gives {made}, not one matrix of logits (N, C)')
    wanted = (
        len(logits) if num_rows is None else num_rows,
        logits.shape[-1] if num_columns is None else num_columns,
    )
    if tuple(logits.shape) != wanted:
        raise ValueError(
            f'{name} gives logits of shape {tuple(logits.shape)}, not {wanted}: a row '
            'for each sample and a column for each class'
        )
    if not logits.isfinite().all():
        raise ValueError(
            f'{name} gives logits that are not finite; look at the weights that it '
            'starts from'
        )
    if labels is None:
        return
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f'{name} was given labels of shape {tuple(labels.shape)} and '
            f'{labels.dtype} for {len(logits)} rows, not a class index for each'
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise ValueError(
            f'{name} was given labels from {labels.min()} to {labels.max()} for '
            f'{logits.shape[1]} columns'
        )

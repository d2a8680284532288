from abc import ABCMeta, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import FrozenSet, Optional, Tuple

from mmengine.model import BaseModel
from torch import Tensor


@dataclass
class LogitRows:
    """The logit matrix that a model makes in one step, and what its rows are.

    Attributes:
        logits (Tensor, optional): Logits, shape (N, C), the student's with gradient.
        labels (Tensor, optional): Class index of each row, shape (N,); None
            where the student was given no hard labels.
    """

    logits: Optional[Tensor] = None
    labels: Optional[Tensor] = None

    def labels_of(self, prediction: str) -> Optional[Tensor]:
        """Labels of the rows of one of the source's predictions."""
        return self.labels


class LogitSource(metaclass=ABCMeta):
    """Where a family of models makes its logits.

    A source observes the student's own, untouched ``loss`` and has the teacher
    predict the same rows. To support another family, write a subclass in a file of
    its own and register it in :data:`luminet_mm.registry.LOGIT_SOURCES`; the
    distiller takes the first whose :meth:`fits` accepts the student.

    Attributes:
        rows_are_images (bool): Whether the rows are the batch's images, the same
            for every model, and not of a model's own choice, as sampled RoIs.
        predictions (tuple[str, ...]): Attributes of its rows that a loss can compare.
        compared (frozenset[str]): The logits, and those that the losses compare; the
            distiller adds them, so that nothing is made that nobody asked for.
    """

    rows_are_images = False
    predictions: Tuple[str, ...] = ('logits',)
    compared: FrozenSet[str] = frozenset({'logits'})

    @classmethod
    @abstractmethod
    def fits(cls, model: BaseModel) -> bool:
        """Whether the model belongs to the family."""

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

    @abstractmethod
    def observe(
        self, student: BaseModel, data_samples: list
    ) -> 'AbstractContextManager[LogitRows]':
        """Watch one ``student.loss`` inside a ``with`` block.

        Returns:
            AbstractContextManager: Gives a :class:`LogitRows` that is filled
            when the block ends.
        """

    @abstractmethod
    def teach(self, teacher: BaseModel, inputs: Tensor, rows: LogitRows) -> LogitRows:
        """What the teacher predicts of the rows that the student made.

        A family whose teacher has a say in which rows are compared completes
        ``rows`` here, when the first teacher is asked.

        Args:
            teacher (BaseModel): A model of the family, in eval mode.
            inputs (Tensor): The batch as the teacher's preprocessor would make
                it, shape (B, 3, H, W).
            rows (LogitRows): What :meth:`observe` saw.

        Returns:
            LogitRows: The teacher's predictions of the same N rows.
        """

    @abstractmethod
    def __str__(self) -> str:
        """What is distilled from where, for the table logged at start-up."""

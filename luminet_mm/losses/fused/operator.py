from typing import Callable, NamedTuple, Tuple

from torch import Tensor


class Operator(NamedTuple):
    """A loss and its gradient, computed without torch's graph.

    Attributes:
        forward (Callable): Of student logits and teacher logits, shape (N, C), and the
            loss's settings: a tuple of one value per sample, shape (N,), and of what
            the gradient is made of.
        backward (Callable): Of the gradient of those values, shape (N,), the student's
            logits, what the gradient is made of, and the settings: the gradient of the
            student's logits, shape (N, C).
    """

    forward: Callable[..., Tuple[Tensor, ...]]
    backward: Callable[..., Tensor]

"""Random numbers that are drawn apart from the run's own."""

import random
from contextlib import contextmanager
from typing import Iterator

import numpy as np
import torch


@contextmanager
def forked_rng(device: torch.device, seed: int = 0) -> Iterator[None]:
    """Draw from generators of one's own inside a ``with`` block.

    Python's, numpy's and torch's global generators start from ``seed`` and are put
    back where they were when the block ends.

    Args:
        device (torch.device): Where the block computes; of several GPUs only the
            generator of this one is handled.
        seed (int): Defaults to 0.
    """
    python, numpy = random.getstate(), np.random.get_state()
    cuda = [device] if device.type == 'cuda' else []
    with torch.random.fork_rng(cuda):
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        for gpu in cuda:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)

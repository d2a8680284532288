"""An example of each loss of features: what `test_contract.py` tries with all of them.

Settings, the shapes of the student's and the teacher's features, and a function that
makes the rest that the loss needs, for a batch of B.
"""

from typing import Any, Callable, Dict, List, NamedTuple

import torch
from mmpretrain.structures import DataSample


class Example(NamedTuple):
    settings: Dict[str, Any]
    shapes_S: List[tuple]  # without the axis of the batch
    shapes_T: List[tuple]
    context: Callable[[int], dict] = lambda batch: {}


def indexed(batch: int) -> dict:
    """Class and place in the data set of each image."""
    return dict(
        gt_labels=torch.arange(batch) % 3,
        data_samples=[DataSample(metainfo=dict(sample_idx=i)) for i in range(batch)],
    )


EXAMPLES: Dict[str, Example] = {
    'ATLoss': Example({}, [(4, 8, 8), (6, 4, 4)], [(8, 8, 8), (12, 2, 2)]),
    'FitNetLoss': Example({}, [(4, 8, 8)], [(6, 8, 8)]),
    'RKDLoss': Example({}, [(6,)], [(10,)]),
    'CWDLoss': Example({}, [(3, 5, 4), (3, 3, 2)], [(4, 5, 4), (3, 3, 2)]),
    'PKDLoss': Example({}, [(3, 5, 4), (3, 3, 2)], [(3, 5, 4), (3, 3, 2)]),
    'CRDLoss': Example(dict(num_samples=12, num_negatives=8), [(6,)], [(10,)], indexed),
}

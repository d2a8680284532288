"""An example of each loss of features: what `test_contract.py` tries with all of them.

Settings, the shapes of the student's and the teacher's features, and a function that
makes the rest that the loss needs, for a batch of B.
"""

from typing import Any, Callable, Dict, List, NamedTuple

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample


class Example(NamedTuple):
    settings: Dict[str, Any]
    shapes_S: List[tuple]  # without the axis of the batch
    shapes_T: List[tuple]
    context: Callable[[int], dict] = lambda batch: {}


def data_samples(*boxes):
    """Data samples of mmdet: boxes of each image."""
    samples = []
    for image_boxes in boxes:
        sample = DetDataSample()
        image_boxes = torch.tensor(image_boxes, dtype=torch.float32).view(-1, 4)
        sample.gt_instances = InstanceData(bboxes=image_boxes)
        samples.append(sample)
    return samples


def truth(*boxes) -> dict:
    """What losses of detectors need: boxes of each image, and the images' size."""
    return dict(data_samples=data_samples(*boxes), image_size=(20, 16))


def boxes(batch: int) -> dict:
    """A small and a large object in the first image, none in the others."""
    found = [[[2, 3, 7, 9], [0, 1, 15, 19]]] + [[]] * (batch - 1)
    return truth(*found)


def indexed(batch: int) -> dict:
    """Class and place in the data set of each image."""
    return dict(
        gt_labels=torch.arange(batch) % 3,
        data_samples=[DataSample(metainfo=dict(sample_idx=i)) for i in range(batch)],
    )


class MeanRest:
    """Stands for the rest of a model, whose later maps show the mean of a feature."""

    def __init__(self, shapes: List[tuple]) -> None:
        self.shapes = shapes

    def __call__(self, index: int, feature: torch.Tensor) -> torch.Tensor:
        return feature.mean(dim=(2, 3))[:, :3]

    def features(self, index: int, feature: torch.Tensor) -> List[torch.Tensor]:
        mean = feature.mean(dim=(1, 2, 3), keepdim=True)
        later = [mean.expand(-1, *shape) for shape in self.shapes[index + 1 :]]
        return [*later, self(index, feature)]


STAGES_S, STAGES_T = [(4, 8, 8), (6, 4, 4)], [(3, 8, 8), (5, 2, 2)]

EXAMPLES: Dict[str, Example] = {
    'ATLoss': Example({}, [(4, 8, 8), (6, 4, 4)], [(8, 8, 8), (12, 2, 2)]),
    'CRDLoss': Example(dict(num_samples=12, num_negatives=8), [(6,)], [(10,)], indexed),
    'CWDLoss': Example({}, [(3, 5, 4), (3, 3, 2)], [(4, 5, 4), (3, 3, 2)]),
    'FCFDLoss': Example(
        {},
        STAGES_S,
        STAGES_T,
        lambda batch: dict(rests=(MeanRest(STAGES_S), MeanRest(STAGES_T))),
    ),
    'FGDLoss': Example({}, [(3, 5, 4), (4, 3, 2)], [(4, 5, 4), (4, 3, 2)], boxes),
    'FGFILoss': Example(
        dict(
            anchor_generator=dict(
                type='AnchorGenerator', scales=[2], ratios=[0.5, 1, 2], strides=[4, 8]
            )
        ),
        [(3, 5, 4), (4, 3, 2)],
        [(4, 5, 4), (4, 3, 2)],
        boxes,
    ),
    'FitNetLoss': Example({}, [(4, 8, 8)], [(6, 8, 8)]),
    'MGDLoss': Example({}, [(3, 5, 4), (4, 3, 2)], [(4, 5, 4), (4, 3, 2)]),
    'OFDLoss': Example({}, [(4, 4, 4), (6, 2, 2)], [(8, 4, 4), (12, 2, 2)]),
    'PKDLoss': Example({}, [(3, 5, 4), (3, 3, 2)], [(3, 5, 4), (3, 3, 2)]),
    'RKDLoss': Example({}, [(6,)], [(10,)]),
    'ReviewKDLoss': Example(
        {}, [(4, 8, 8), (6, 4, 4), (6,)], [(8, 8, 8), (12, 2, 2), (12,)]
    ),
}

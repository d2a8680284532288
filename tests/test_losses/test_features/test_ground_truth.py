import pytest
import torch
from examples import data_samples
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from luminet_mm.losses.features.ground_truth import boxes_of


def test_boxes_as_tensors_and_of_mmdets_type():
    samples = data_samples([[1, 2, 3, 4]], [])
    samples[0].gt_instances.bboxes = HorizontalBoxes(samples[0].gt_instances.bboxes)
    full, empty = boxes_of('Loss', samples)
    assert full.tolist() == [[1, 2, 3, 4]] and empty.shape == (0, 4)


@pytest.mark.parametrize(
    ('instances', 'found'),
    [
        (None, 'NoneType'),
        (InstanceData(labels=torch.zeros(1)), 'NoneType'),
        (InstanceData(bboxes=torch.zeros(2, 5)), r'shape \(2, 5\)'),
    ],
)
def test_samples_without_boxes_are_refused(instances, found):
    sample = DetDataSample()
    if instances is not None:
        sample.gt_instances = instances
    with pytest.raises(ValueError, match=f'Loss is a loss for detectors.*{found}'):
        boxes_of('Loss', [sample])

from contextlib import contextmanager
from typing import Iterator, List, Sequence

from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .sources.classifier import ClassifierSource, is_trained_by_sigmoids

# Classes whose `forward` runs a chain of layers, and their list of these layers' names
CHAINS = {
    'ResNet': 'res_layers',
    'ResNet_CIFAR': 'res_layers',
    'StagedBackbone': 'layer_names',
}


class Rest:
    """What follows a stage of a classifier: later layers of its backbone, neck, head.

    Features of any source can be run through it; what they need has a gradient. In
    train mode batch normalisation takes the statistics of these features, and leaves
    its running ones, which are for the model's own features, as they are.

    Args:
        model (BaseModel): An ``ImageClassifier`` of mmpretrain, whose backbone is a
            chain of layers: mmpretrain's ResNets, or one of this project's.
        stages (Sequence[str]): The modules that give the features of each stage, in the
            order in which they run, e.g. ['backbone.layer1', 'backbone.layer2'].

    Raises:
        ValueError: If there is another backbone, or no head, or a stage that is no
            layer of the chain, or gradient checkpointing, or a normalisation with
            running statistics that is not torch's batch normalisation.
    """

    def __init__(self, model: BaseModel, stages: Sequence[str]) -> None:
        if any(map(_is_checkpointed, model.modules())):
            raise ValueError(
                f'{type(model).__name__} has with_cp=True or activation_checkpointing, '
                'and what gradient checkpointing computes anew would move the running '
                'statistics of its normalisation; set with_cp=False, without '
                'activation_checkpointing'
            )
        for module in model.modules():
            statistics = getattr(module, 'running_mean', None)
            if statistics is not None and not isinstance(module, _BatchNorm):
                raise ValueError(
                    f'{type(model).__name__} has a {type(module).__name__} of '
                    f'{type(module).__module__}, whose running statistics cannot be '
                    "kept from moving; take torch's batch normalisation, as "
                    "norm_cfg=dict(type='BN') or sync_bn='torch'"
                )
        self.model = model
        self.layers = [f'backbone.{name}' for name in _chain(model)]
        for stage in stages:
            if stage not in self.layers:
                raise ValueError(
                    f'{stage!r} is no layer of {type(model.backbone).__name__} that '
                    f'others follow; it has {self.layers}'
                )
        self.ends = [self.layers.index(stage) for stage in stages]
        if self.ends != sorted(set(self.ends)):
            raise ValueError(
                f'the stages {list(stages)} must be in the order in which '
                f'{type(model.backbone).__name__} runs them, each once'
            )

    def __call__(self, index: int, feature: Tensor) -> Tensor:
        """Run the rest of the model.

        Args:
            index (int): The stage, from 0.
            feature (Tensor): Features as it gives them, shape (B, C, H, W).

        Returns:
            Tensor: Logits, shape (B, number of classes).
        """
        return self.features(index, feature)[-1]

    def features(self, index: int, feature: Tensor) -> List[Tensor]:
        """Run the rest of the model and keep what later stages give.

        Args:
            index (int): The stage, from 0.
            feature (Tensor): Features as it gives them, shape (B, C, H, W).

        Returns:
            list[Tensor]: Features of each later stage, shape (B, C, H, W), and the
            logits.
        """
        feats = []
        with _still_statistics(self.model):
            for number in range(self.ends[index] + 1, len(self.layers)):
                feature = self.model.get_submodule(self.layers[number])(feature)
                if number in self.ends:
                    feats.append(feature)
            outs = (feature,)  # as a backbone gives them
            if getattr(self.model, 'neck', None) is not None:
                outs = self.model.neck(outs)
            return [*feats, self.model.head(outs)]


def check_rests(student: BaseModel, teacher: BaseModel) -> None:
    """Check that the logits in which the rests of two classifiers end are comparable.

    Args:
        student (BaseModel): The student.
        teacher (BaseModel): The teacher.

    Raises:
        ValueError: If they are of other classes or mean something else.
    """
    source = ClassifierSource()
    models = {'model.student': student, 'model.teacher': teacher}
    if not all(map(source.fits, models.values())):
        return  # a Rest says so
    for key, model in models.items():
        source.check_model(model, key)
        if is_trained_by_sigmoids(model):
            raise ValueError(
                f'{key}.head is trained by sigmoids, and what follows a stage is '
                'compared by a softmax; take a loss that needs features alone'
            )
    source.check(student, teacher, 'model.teacher')


def _is_checkpointed(module: nn.Module) -> bool:
    # mmengine wraps the forward of a module for activation_checkpointing
    wrapped = hasattr(vars(module).get('forward'), '__wrapped__')
    return wrapped or getattr(module, 'with_cp', False)


def _chain(model: BaseModel) -> List[str]:
    """Names of the layers that a backbone runs one after the other, after its stem."""
    backbone, layers = getattr(model, 'backbone', None), None
    for cls in type(backbone).__mro__:
        if 'forward' in vars(cls):
            layers = getattr(backbone, CHAINS.get(cls.__name__, ''), None)
            break
    if layers is None or getattr(model, 'head', None) is None:
        raise ValueError(
            'what follows a stage can be run of image classifiers that have a head and '
            "one of mmpretrain's ResNets or of luminet_mm's backbones, but this "
            f'{type(model).__name__} has {type(backbone).__name__}: take a loss that '
            'needs features alone'
        )
    return list(layers)[: max(backbone.out_indices) + 1]


@contextmanager
def _still_statistics(model: nn.Module) -> Iterator[None]:
    """Keep batch normalisation from moving its running statistics."""
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and module.training
        and module.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True

from typing import Any, Dict, List, Optional, Tuple, Union

from mmengine.logging import print_log
from mmengine.model import ModuleList
from torch import Tensor, nn

from ..checks import check_arguments, check_type
from ..registry import MODELS
from .base_distiller import BaseDistiller
from .building import build_model, check_told, load_pretrained, name_of, num_params
from .distill_losses import compares_features, name_of_loss
from .pixels import PixelTranslator, describe_pixels


@MODELS.register_module()
class MutualDistiller(BaseDistiller):
    r"""Students that are trained together and teach each other.

    `Deep Mutual Learning <https://arxiv.org/abs/1706.00384>`_: each of K models
    has its own loss and the mean, over the K - 1 others, of the divergence from
    their logits (Eq. 9 there; Eqs. 5 and 6 for K = 2):

    .. math:: L_k = L_k^{own} + \frac{1}{K - 1} \sum_{l \ne k} D(z^l, z^k)

    The paper's D is :class:`luminet_mm.losses.KDLoss` with ``tau=1``. All models take
    one step on the same batch from the same logits; the paper updates one after
    the other.

    The first model is *the student*: it is validated and tested, and checkpoints
    hold it under its own names, as :class:`LogitDistiller`'s do. The others are
    kept there as ``peers.0``, ``peers.1``, ..., which upstream loading reports
    and ignores; ``init_cfg=dict(type='Pretrained', checkpoint=...,
    prefix='peers.0')`` takes one out. Only image classifiers can learn so: two
    detectors sample different boxes, so their logits do not correspond.

    Args:
        student (dict): As :class:`LogitDistiller`.
        peers (dict | list[dict]): The other models, given in the same way; they
            start from their own random weights.
        distill_losses (dict[str, dict]): As :class:`LogitDistiller`; each model
            is taught with all of them.
        data_preprocessor (dict, optional): Of all models whose config has none;
            the runner passes a top-level one.
        **kwargs: ``warmup``, ``warmup_by_epoch``, ``stop_epoch``, ``stop_iter``,
            ``source`` and ``init_cfg`` as of :class:`LogitDistiller`. The paper has no
            warm-up and no end.

    Raises:
        TypeError, ValueError: For a config that cannot work, naming the key,
            its value, and what would be right.
    """

    def __init__(
        self,
        student: Optional[dict] = None,
        peers: Union[dict, List[dict], None] = None,
        distill_losses: Optional[Dict[str, dict]] = None,
        data_preprocessor: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        check_arguments('model', MutualDistiller, kwargs)
        super().__init__(
            student, distill_losses, data_preprocessor=data_preprocessor, **kwargs
        )
        if not self.source.rows_are_images:
            raise ValueError(
                f'model.student is a {type(self.student).__name__}: each model of a '
                'MutualDistiller makes its own rows, and only the images of a '
                'classifier are the same for all; use LogitDistiller'
            )
        for name, loss in self.distill_losses.items():
            if compares_features(loss):
                raise ValueError(
                    f'model.distill_losses.{name}: {name_of_loss(loss)} compares '
                    'features, and the models of a MutualDistiller teach each other by '
                    'their logits only; take a loss of logits, or LogitDistiller'
                )
        peers = [peers] if isinstance(peers, dict) else peers
        check_type('model.peers', peers, (list, tuple), 'a dict, or a list of dicts')
        if not peers:
            raise ValueError('model.peers is empty: name at least one model')
        built = [
            build_model(peer, f'model.peers[{i}]', data_preprocessor)
            for i, peer in enumerate(peers)
        ]
        # mmengine's, as torch's hands no init_weights on
        self.peers = ModuleList([peer for peer, _ in built])
        self._peer_names = list(map(name_of, peers))
        self._peer_pixels_from = [pixels_from for _, pixels_from in built]
        for i, pixels_from in enumerate(self._peer_pixels_from):
            check_told(pixels_from, f'model.peers[{i}]', self.student)
        for i, (peer, name) in enumerate(zip(self.peers, self._peer_names)):
            self._check_family(peer, f'model.peers[{i}]', name)
        self.pixels = nn.ModuleList(
            PixelTranslator(self.student.data_preprocessor, peer.data_preprocessor)
            for peer in self.peers
        )

    def loss(self, inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """See :meth:`BaseDistiller.loss`; the peers' losses are named
        ``peers.0.loss`` and so on."""
        models = {'': (self.student, inputs)}
        for i, (peer, pixels) in enumerate(zip(self.peers, self.pixels)):
            models[f'peers.{i}.'] = (peer, pixels(inputs, data_samples))
        own, rows = {}, {}
        for prefix, (model, images) in models.items():
            own[prefix], rows[prefix] = self._observed_loss(model, images, data_samples)
        for prefix, of_model in () if self.is_over else own.items():
            taught = [
                self._distill(rows[prefix], rows[other])
                for other in models
                if other != prefix
            ]
            for name in self.distill_losses:
                of_model[name] = sum(each[name] for each in taught) / len(taught)
        losses = {
            prefix + name: loss
            for prefix, of_model in own.items()
            for name, loss in of_model.items()
        }
        self._is_first = False
        return losses

    def init_weights(self) -> None:
        """Initialise all models and log what is distilled."""
        super().init_weights()
        for peer in self.peers:
            load_pretrained(peer)
        print_log(self._summary(), logger='current')

    def _roles(self) -> Tuple[List[tuple], List[tuple]]:
        guides = [
            (
                'peer',
                f'{type(peer).__name__} ({name})\n'
                f' {describe_pixels(peer.data_preprocessor)}, {pixels_from}',
            )
            for peer, name, pixels_from in zip(
                self.peers, self._peer_names, self._peer_pixels_from
            )
        ]
        parameters = [
            (
                'trained',
                f'{num_params(self.student) / 1e6:.2f} M parameters of the student, '
                f'{num_params(self.peers) / 1e6:.2f} M of its peers',
            )
        ]
        return guides, parameters

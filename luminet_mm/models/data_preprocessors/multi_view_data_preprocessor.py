import torch
from mmpretrain.models import ClsDataPreprocessor
from torch import Tensor

from ...registry import MODELS


@MODELS.register_module()
class MultiViewDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor, which makes one batch of several views of its images.

    The views are those of mmpretrain's transform ``MultiView``: V times B images of
    one size become V * B rows, all first views before all second ones, each with its
    image's data sample. A batch of one view of each image stays as it is, so that
    tests need nothing else.

    Args:
        **kwargs: Those of mmpretrain's ``ClsDataPreprocessor``.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Join the views, then do as the parent does.

        Args:
            data (dict): ``inputs``, V tensors of raw pixels of the shape
                (B, C, H, W) or lists of B of the shape (C, H, W), as either of
                mmengine's collate functions gives them, or one view of each image as
                the parent takes it; and ``data_samples``, B of them.
            training (bool): As the parent's. Defaults to False.

        Returns:
            dict: ``inputs``, float, shape (V * B, C, H', W') with H' and W' multiples
            of ``pad_size_divisor``, and V * B ``data_samples``.
        """
        views = data['inputs']
        if not isinstance(views[0], Tensor):  # as pseudo_collate leaves them
            views = [torch.stack(list(view)) for view in views]
        if not isinstance(views, Tensor) and views[0].dim() == 4:
            samples = list(data['data_samples']) * len(views)
            data = dict(data, inputs=torch.cat(list(views)), data_samples=samples)
        return super().forward(data, training)

"""What the losses of maps have in common: connectors, levels, sizes."""

import pytest
import torch
from torch import nn

from luminet_mm.losses import (
    CWDLoss,
    cwd_loss,
    fgd_loss,
    fgfi_loss,
    mgd_loss,
    pkd_loss,
)
from luminet_mm.losses.features.map_loss import crop_to_smaller


def test_connectors_only_where_channels_differ():
    loss = CWDLoss()
    loss.connect([(1, 3, 8, 8), (1, 4, 4, 4)], [(1, 5, 8, 8), (1, 4, 4, 4)])
    conv, nothing = loss.connectors
    assert isinstance(nothing, nn.Identity)
    assert conv.weight.shape == (5, 3, 1, 1)
    (map_S, map_T), (same_S, _) = loss.pairs(
        [torch.ones(2, 3, 6, 5), torch.ones(2, 4, 3, 2)],
        [torch.ones(2, 5, 6, 5), torch.ones(2, 4, 3, 2)],
    )
    assert map_S.shape == map_T.shape == (2, 5, 6, 5)
    assert same_S.equal(torch.ones(2, 4, 3, 2))


@pytest.mark.parametrize('shape_T', [(1, 3, 4, 8), (1, 3, 8, 4), (1, 3, 16, 16)])
def test_maps_of_different_levels_are_refused(shape_T):
    with pytest.raises(ValueError, match=r'layers=.*pairs maps of different levels'):
        CWDLoss().connect([(1, 3, 8, 8)], [shape_T])


def test_sizes_that_differ_by_padding_are_taken():
    CWDLoss().connect([(1, 3, 8, 9)], [(1, 3, 9, 8)])


def test_positions_correspond_from_the_upper_left_corner_on():
    small, large = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 5, 6)
    cropped, same = crop_to_smaller(large, small)
    assert cropped.equal(large[:, :, :4, :5]) and same.equal(small)
    wide, high = crop_to_smaller(torch.rand(1, 1, 2, 3), torch.rand(1, 1, 3, 2))
    assert wide.shape == high.shape == (1, 1, 2, 2)


MASK = torch.ones(2, 4, 4)


@pytest.mark.parametrize(
    'function',
    [
        cwd_loss,
        lambda s, t: fgd_loss(s, t, MASK, MASK),
        lambda s, t: fgfi_loss([s], [t], [MASK]),
        mgd_loss,
        pkd_loss,
    ],
)
def test_functions_compute_in_float32(function):
    feats = 100 * torch.randn(2, 2, 3, 4, 4).half()  # its squares overflow
    loss = function(*feats)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, function(*feats.float()))

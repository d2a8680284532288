"""Both ways between luminet_mm and a stock mmrazor on torch 2."""

from functools import partial

import naive
import pytest
import torch
from tiny import classifier, distiller, image_batch, merged, save_weights

from luminet_mm.losses import LuminetLoss, luminet_loss
from luminet_mm.registry import MODELS


def test_stock_mmrazor_trains_with_luminet_loss():
    """SingleTeacherDistill and ConfigurableDistiller, untouched."""
    fc = dict(type='ModuleOutputs', source='head.fc')
    model = MODELS.build(
        dict(
            type='mmrazor.SingleTeacherDistill',
            architecture=classifier(),
            teacher=classifier(),
            data_preprocessor=merged(
                classifier()['data_preprocessor'],
                dict(type='mmpretrain.ClsDataPreprocessor'),
            ),
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=dict(fc=fc),
                teacher_recorders=dict(fc=fc),
                distill_losses=dict(
                    loss_luminet=dict(type='luminet_mm.LuminetLoss', loss_weight=2.0)
                ),
                loss_forward_mappings=dict(
                    loss_luminet=dict(
                        preds_S=dict(from_student=True, recorder='fc'),
                        preds_T=dict(from_student=False, recorder='fc'),
                    )
                ),
            ),
            _scope_='mmrazor',
        )
    )
    assert isinstance(model.distiller.distill_losses['loss_luminet'], LuminetLoss)
    before = model.architecture.head.fc.weight.clone()
    optimizer = torch.optim.SGD(model.architecture.parameters(), lr=0.1)
    losses = model(**model.data_preprocessor(image_batch(), True), mode='loss')
    logits = (
        recorders.get_recorder('fc').get_record_data()
        for recorders in (
            model.distiller.student_recorders,
            model.distiller.teacher_recorders,
        )
    )
    expected = 2 * luminet_loss(*logits).mean()
    torch.testing.assert_close(losses['distill.loss_luminet'], expected)
    model.parse_losses(losses)[0].backward()
    optimizer.step()
    assert not torch.equal(model.architecture.head.fc.weight, before)


# A config may name mmrazor's losses: on an ordinary batch these are right.
RIGHT = [
    (dict(type='mmrazor.KLDivergence', tau=2.0), partial(naive.kd, tau=2.0)),
    (
        dict(type='mmrazor.DKDLoss', tau=2.0, beta=3.0),
        partial(naive.dkd, tau=2.0, beta=3.0),
    ),
    (
        dict(type='mmrazor.DISTLoss', tau=2.0, intra_loss_weight=3.0),
        partial(naive.dist, tau=2.0, intra_loss_weight=3.0),
    ),
]


@pytest.mark.parametrize(('loss', 'reference'), RIGHT)
def test_mmrazors_losses_in_our_distiller(loss, reference, tmp_path):
    """Value and gradient, on the logits that the distiller gave them."""
    cfg = classifier()
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth', seed=1)
    model = distiller(cfg, cfg, ckpt, distill_losses=dict(loss_kd=loss)).eval()
    seen = {}
    model.distill_losses['loss_kd'].register_forward_hook(
        lambda module, args, kwargs, out: seen.update(args=args, **kwargs),
        with_kwargs=True,
    )
    batch = image_batch()
    losses = model.loss(**model.data_preprocessor(batch, True))
    preds_S, preds_T = (preds.double() for preds in seen['args'])
    labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
    expected = reference(preds_S, preds_T, labels).mean()
    torch.testing.assert_close(losses['loss_kd'].double(), expected, rtol=1e-4, atol=0)
    losses['loss_kd'].backward()
    # the bias of the classifier has the sum of the logits' gradients
    grad = naive.gradient(reference, preds_S.detach(), preds_T, labels) / len(labels)
    torch.testing.assert_close(
        model.student.head.fc.bias.grad.double(), grad.sum(0), rtol=1e-3, atol=1e-6
    )


def test_why_dkd_and_dist_are_our_own():
    """If this fails, mmrazor has them right and ours can go."""
    z_S, z_T = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 5

    def mmrazors(name, *preds, **kwargs):
        return MODELS.build(dict(type=f'mmrazor.{name}', **kwargs))(*preds)

    # a deprecated argument overrides the reduction
    mean, total = (
        mmrazors('DKDLoss', z_S, z_T, labels, reduction=reduction)
        for reduction in ('mean', 'sum')
    )
    assert mean == total
    # probabilities are rounded to 0 before the logarithm
    assert not mmrazors('DKDLoss', z_S * 1e4, z_T * 1e4, labels).isfinite()
    # the mean over no sample
    assert mmrazors('DISTLoss', z_S[:0], z_T[:0]).isnan()
    # half precision stays half precision
    assert mmrazors('DISTLoss', z_S.bfloat16(), z_T.bfloat16()).dtype != torch.float32
    # rounding noise taken for a correlation
    zeros = torch.zeros(6, 5, requires_grad=True)
    mmrazors('DISTLoss', zeros, z_T).backward()
    assert zeros.grad.abs().max() > 1e3


def test_quantization_says_why_it_is_missing():
    from mmrazor.models.quantizers import OpenVINOQuantizer

    with pytest.raises(RuntimeError, match='OpenVINOQuantizer is not available: .*tor'):
        OpenVINOQuantizer(global_qconfig={})

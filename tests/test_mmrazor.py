"""Both ways between luminet_mm and a stock mmrazor on torch 2."""

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


def test_our_distiller_with_mmrazors_dkd_loss(tmp_path):
    cfg = classifier()
    loss = dict(type='mmrazor.DKDLoss', tau=2.0, beta=3.0, reduction='batchmean')
    model = distiller(
        cfg,
        cfg,
        save_weights(cfg, tmp_path / 'teacher.pth', seed=1),
        distill_losses=dict(loss_dkd=loss),
    )
    losses = model.loss(**model.data_preprocessor(image_batch(), True))
    assert losses['loss_dkd'] > 0
    losses['loss_dkd'].backward()
    assert model.student.head.fc.weight.grad.abs().sum() > 0


def test_quantization_says_why_it_is_missing():
    from mmrazor.models.quantizers import OpenVINOQuantizer

    with pytest.raises(RuntimeError, match='OpenVINOQuantizer is not available: .*tor'):
        OpenVINOQuantizer(global_qconfig={})

"""Image classifiers: head logits and labels of the student's own step."""

import pytest
import torch
from tiny import classifier, distiller, image_batch, save_weights


def step(model, batch):
    return model.loss(**model.data_preprocessor(batch, True))


def test_own_weights_give_exactly_zero(tmp_path):
    cfg = classifier()
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth')
    model = distiller(cfg, cfg, ckpt)
    model.load_state_dict(torch.load(ckpt)['state_dict'])
    model.student.eval()
    losses = step(model, image_batch())
    assert losses['loss_luminet'] == 0
    assert losses['loss_kd'] == 0
    model.student.train()  # batch statistics instead of running ones
    assert step(model, image_batch())['loss_luminet'] > 1e-4


def test_teacher_logits_are_its_own_pipelines(tmp_path):
    teacher_cfg = classifier(
        data_preprocessor=dict(to_rgb=False, mean=[100.0, 110.0, 120.0], std=[1.0] * 3)
    )
    model = distiller(
        classifier(), teacher_cfg, save_weights(teacher_cfg, tmp_path / 't.pth')
    )
    teacher = model.build_teachers()[0].model
    data = model.data_preprocessor(image_batch(), True)
    with model.source.observe(model.student, data['data_samples']) as rows:
        logits = model.student(**data, mode='loss')
    assert 'loss' in logits
    assert rows.labels.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    raw = teacher.data_preprocessor(image_batch())
    torch.testing.assert_close(
        model._teach(data['inputs'], data['data_samples'], rows).logits,
        teacher(raw['inputs'], mode='tensor'),
        rtol=1e-4,
        atol=1e-4,
    )


def test_several_teachers_are_averaged(tmp_path):
    cfg = classifier()
    ckpts = [save_weights(cfg, tmp_path / f'{i}.pth', seed=i) for i in (1, 2)]
    model = distiller(cfg, [cfg, cfg], ckpts)
    data = model.data_preprocessor(image_batch(), True)
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    logits = [t.model(data['inputs'], mode='tensor') for t in model.build_teachers()]
    expected = (logits[0] + logits[1]) / 2
    torch.testing.assert_close(
        model._teach(data['inputs'], data['data_samples'], rows).logits, expected
    )


def test_mixed_images_have_no_hard_labels(tmp_path):
    """Under mixup the teacher sees the mixed images."""
    cfg = classifier(
        data_preprocessor=dict(
            batch_augments=dict(augments=[dict(type='Mixup', alpha=1.0)])
        ),
        head=dict(loss=dict(type='CrossEntropyLoss', use_soft=True)),
    )
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth')
    model = distiller(cfg, cfg, ckpt)
    model.load_state_dict(torch.load(ckpt)['state_dict'])
    model.student.eval()
    data = model.data_preprocessor(image_batch(), True)
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    assert rows.labels is None
    assert step(model, image_batch())['loss_luminet'] == 0

    needs_labels = dict(loss_dkd=dict(type='mmrazor.DKDLoss'))
    model = distiller(cfg, cfg, ckpt, distill_losses=needs_labels)
    with pytest.raises(ValueError, match='loss_dkd: DKDLoss needs a class index'):
        step(model, image_batch())


def test_preprocessor_of_the_runner_is_the_students(tmp_path):
    """mmpretrain's configs set it beside the model, and the runner hands it in."""
    student, teacher = classifier(), classifier()
    preprocessor = student.pop('data_preprocessor')
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth')
    model = distiller(student, teacher, ckpt, data_preprocessor=preprocessor)
    assert model.data_preprocessor is model.student.data_preprocessor
    mean = model.data_preprocessor.mean.flatten().tolist()
    assert mean == pytest.approx(preprocessor['mean'])


def test_warmup_is_linear(tmp_path, message_hub):
    cfg = classifier()
    model = distiller(
        cfg,
        cfg,
        save_weights(cfg, tmp_path / 'teacher.pth'),
        warmup=4,
        warmup_by_epoch=False,
    )
    model.student.eval()
    values = []
    for iteration in (0, 1, 3, 4, 100):
        message_hub.update_info('iter', iteration)
        values.append(step(model, image_batch())['loss_kd'].item())
    full = values[-1]
    expected = [full / 4, full / 2, full, full, full]
    torch.testing.assert_close(torch.tensor(values), torch.tensor(expected))

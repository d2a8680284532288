"""Two students that teach each other."""

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from tiny import (
    build,
    classification_run,
    classifier,
    faster_rcnn,
    image_batch,
    load_checkpoint,
    save_weights,
)

from luminet_mm.losses import kd_loss
from luminet_mm.registry import MODELS

DML = dict(loss_dml=dict(type='luminet_mm.KDLoss', tau=1.0))
PEER = classifier(
    data_preprocessor=dict(to_rgb=False, mean=[100.0, 110.0, 120.0], std=[50.0] * 3)
)


def mutual(peers, student=None, **kwargs):
    return dict(
        type='luminet_mm.MutualDistiller',
        student=student or classifier(),
        peers=peers,
        distill_losses=DML,
        **kwargs,
    )


def build_mutual(*args, **kwargs):
    build(classifier())  # the default scope, and a seed
    model = MODELS.build(mutual(*args, **kwargs))
    model.init_weights()
    return model


def logits_of(model, batch):
    data = model.data_preprocessor(batch, True)
    return model(**data, mode='tensor')


def test_each_learns_from_the_mean_of_the_others():
    """Value and gradient of three models against the formula, each fed by its own
    preprocessor."""
    torch.manual_seed(0)
    model = build_mutual([classifier(), PEER]).eval()
    losses = model.loss(**model.data_preprocessor(image_batch(), True))
    models = [model.student, *model.peers]
    logits = [logits_of(each, image_batch()) for each in models]
    expected = 0
    for k, (each, prefix) in enumerate(zip(models, ('', 'peers.0.', 'peers.1.'))):
        own = each(**each.data_preprocessor(image_batch(), True), mode='loss')['loss']
        torch.testing.assert_close(
            losses[f'{prefix}loss_cls'], own, rtol=1e-4, atol=1e-5
        )
        others = [z.detach() for i, z in enumerate(logits) if i != k]
        taught = sum(kd_loss(logits[k], z, tau=1.0).mean() for z in others) / 2
        assert taught > 1e-4
        torch.testing.assert_close(
            losses[f'{prefix}loss_dml'], taught, rtol=1e-3, atol=1e-6
        )
        expected = expected + own + taught
    total, log = model.parse_losses(losses)
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-5)
    assert {'loss_dml', 'peers.0.loss_dml', 'peers.1.loss_dml'} < set(log)

    parameters = list(model.parameters())
    got = torch.autograd.grad(total, parameters)
    want = torch.autograd.grad(expected, parameters)
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_trains_all_and_saves_the_student_under_its_own_names(tmp_path):
    cfg = classification_run(mutual(classifier()), tmp_path, tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    saved = load_checkpoint(tmp_path / 'run' / 'epoch_2.pth')['state_dict']
    own = build(classifier()).state_dict()
    assert set(saved) == set(own) | {f'peers.0.{name}' for name in own}
    for name in ('head.fc.weight', 'peers.0.head.fc.weight'):
        assert not torch.equal(saved[name], before[name])
    peer = classifier(
        init_cfg=dict(
            type='Pretrained',
            checkpoint=str(tmp_path / 'run' / 'epoch_2.pth'),
            prefix='peers.0',
        )
    )
    peer = build(peer)
    peer.init_weights()
    assert torch.equal(peer.head.fc.weight, saved['peers.0.head.fc.weight'])


def test_resumes_where_it_was_stopped(tmp_path):
    def run(work_dir, **overrides):
        cfg = classification_run(
            mutual(classifier(), warmup=3),
            tmp_path,
            work_dir,
            max_epochs=4,
            **overrides,
        )
        Runner.from_cfg(cfg).train()
        return load_checkpoint(work_dir / 'epoch_4.pth')['state_dict']

    whole = run(tmp_path / 'whole')
    resumed = run(
        tmp_path / 'resumed',
        resume=True,
        load_from=str(tmp_path / 'whole' / 'epoch_2.pth'),
    )
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(peers=[]), 'model.peers is empty'),
        (
            dict(peers=classifier(num_classes=7)),
            r'and the teacher 7 \(model.peers\[0\].head.num_classes\): they must',
        ),
        (
            dict(peers=faster_rcnn()),
            r'model.peers\[0\]=.* is a FasterRCNN, which cannot teach a ImageCl',
        ),
        (
            dict(student=faster_rcnn(), peers=faster_rcnn()),
            'model.student is a FasterRCNN: .* use LogitDistiller',
        ),
        (dict(peers=dict(depth=3)), r'model.peers\[0\] has neither `cfg_path` nor'),
    ],
)
def test_wrong_config(kwargs, message):
    build(classifier())
    with pytest.raises(ValueError, match=message):
        MODELS.build(mutual(**kwargs))


def test_loads_the_plain_student(tmp_path):
    weights = torch.load(save_weights(classifier(), tmp_path / 's.pth'))['state_dict']
    model = build_mutual(classifier())
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith('peers.0.') for name in missing)
    assert torch.equal(model.student.head.fc.weight, weights['head.fc.weight'])


def test_end():
    """The students train on, each by itself."""
    model = build_mutual([classifier()], stop_epoch=2)
    for epoch, taught in ((1, True), (2, False)):
        MessageHub.get_current_instance().update_info('epoch', epoch)
        losses = model.loss(**model.data_preprocessor(image_batch(), True))
        own = {'loss_cls', 'peers.0.loss_cls'}
        dml = {'loss_dml', 'peers.0.loss_dml'} if taught else set()
        assert set(losses) == own | dml


def test_peers_are_initialised_as_models_alone_are(tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'trained.pth', seed=5)
    trained = dict(classifier(), init_cfg=dict(type='Pretrained', checkpoint=str(ckpt)))
    model = MODELS.build(mutual([trained, classifier()]))
    drawn = model.peers[1].backbone.conv1.weight.clone()
    model.init_weights()
    saved = load_checkpoint(ckpt)['state_dict']
    for name, value in model.peers[0].state_dict().items():
        assert torch.equal(value, saved[name]), name
    assert not torch.equal(model.peers[1].backbone.conv1.weight, drawn)
    assert model.peers[1].head.fc.weight.std() < 0.02  # 0.01, where torch's is 0.07

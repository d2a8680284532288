"""Every wrong input that was thought of, and the words that its message must hold.

A new one is a line in the list of its kind::

    add('what is wrong', 'word & another', distil, warmup=-1)

that is: its name, the words, what the user does (``doings.py``) and with what. Inputs
that are alike are generated: a new setting of a registered class is tried with all
wrong values of its type, whoever adds it.

``python tests/campaign.py`` tries all and prints how each was answered.
"""

import inspect
import zipfile
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Tuple, Union

import doings
import torch
from doings import (
    KD,
    OMIT,
    distil,
    distil_with,
    read_evil,
    script,
    teach_from,
    test,
    tool,
    train,
    weights,
)
from mmengine.model import BaseModel
from tiny import cascade_rcnn, classifier, dense, detr, faster_rcnn, image_batch

from luminet_mm import registry
from luminet_mm.config import load_model_cfg
from luminet_mm.run_checks import check_run

nan, inf = float('nan'), float('inf')


class Input(NamedTuple):
    """Something that a user does.

    Attributes:
        kind (str): Row of the campaign's table.
        name (str): Unique within the kind.
        words (tuple[str, ...]): What the message must hold.
        do (Callable): Given an empty folder.
        answer (str): 'error', 'warning' (an error will do), or 'works' (nothing is
            raised, and what is logged as a warning holds the words).
    """

    kind: str
    name: str
    words: Tuple[str, ...]
    do: Callable
    answer: str = 'error'


BAD_INPUTS: List[Input] = []


def kind(title: str, answer: str = 'error') -> Callable:
    """A function that adds an input of the kind to the table."""

    def add(name, words, do, /, *args, **kwargs):
        words = words.split(' & ') if isinstance(words, str) else words
        takes_folder = 'folder' in inspect.signature(do).parameters

        def doing(folder):
            where = (folder,) if takes_folder else ()
            return do(*where, *args, **kwargs)

        BAD_INPUTS.append(Input(title, name, tuple(words), doing, answer))

    return add


# ------------------------------------------------------------------------- settings
NUMBERS = ('2', None, True, nan, inf, [1], {})
WRONG = {
    # of a type's name in a signature: values, and what the message says is right
    'float': (NUMBERS, 'number'),
    'int': ((*NUMBERS, 1.5), 'integer'),
    'bool': (('False', None, 1, []), 'True or False'),
    'str': ((5, None, True, []), ''),
    'dict': (('x', 5, True, None, []), 'dict'),
    'Sequence[float]': (('2', 3, None, [], ['2'], [nan], [0], [True], {}), ''),
    'Sequence[int]': (('2', 3, None, [], ['2'], [nan], [99], [-1], {}), ''),
    'Sequence[bool]': (('TF', 3, None, [], [True], [1, 0], {}), ''),
    'Sequence[Tuple[str, str]]': (
        ('neck', 3, [], ['neck'], [['neck']], [['neck', 0]], {}, {'neck': 'neck'}),
        'pairs',
    ),
    'Dict[str, Any]': (('x', 5, [], {}, {'type': 'X'}, {'scales': [8]}), ''),
    'Dict[str, dict]': (('x', 5, None, [], {}, [dict(type='a')]), 'loss'),
    'Union[dict, List[dict]]': (('x', 5, None, [], {}, ['x'], [None]), ''),
    'Union[str, List[str]]': ((5, True, [], {}, [5], ''), ''),
    'Union[BaseDataset, dict]': (('x', 5, None, [], {}), 'data'),
}
# What is out of range: -1 for a number, and these. There the message says the range.
OUT_OF_RANGE = dict(
    depth=(0, 7),
    widen_factor=(0,),
    expand_ratio=(0,),
    stem_channels=(0,),
    base_channels=(0,),
    frozen_stages=(-2, 99),
    reduction=('nonsense', '', 'Mean'),
    rows=('nonsense', ''),
    decoder_layers=('nonsense', ''),
    tau=(0,),
    eps=(0,),
    num_rows=(0,),
    num_anchors=(0, 1),
    interval=(0,),
    max_rows=(0,),
    score_thr=(1.5,),
    flip_prob=(1.5,),
)
# The settings that may be -1
SIGNED = ('frozen_stages',)
# Upstream's own to check
UPSTREAMS = ('init_cfg', 'norm_cfg', 'kwargs')
# What a backbone gives its parent
NO_SETTINGS = ('stem', 'layers')


def type_name(annotation) -> Tuple[str, bool]:
    """Short name of a type in a signature, and whether None is right, too."""
    if getattr(annotation, '__origin__', None) is Union:
        parts = [part for part in annotation.__args__ if part is not type(None)]
        optional = len(parts) < len(annotation.__args__)
        annotation = Union[tuple(parts)]
    else:
        optional = False
    if isinstance(annotation, type) and not getattr(annotation, '__args__', ()):
        return annotation.__name__, optional
    text = str(annotation).replace('typing.', '')
    return text.replace('mmengine.dataset.base_dataset.', ''), optional


def settings(cls: type) -> Dict[str, inspect.Parameter]:
    """The settings that a class and its parents of this project have."""
    found = {}
    for parent in cls.__mro__:
        if parent.__module__.startswith('luminet_mm') and '__init__' in vars(parent):
            found = {**inspect.signature(parent).parameters, **found}
    return {
        name: parameter
        for name, parameter in found.items()
        if name not in (*UPSTREAMS, *NO_SETTINGS)
        and parameter.kind is not parameter.VAR_POSITIONAL
    }


def wrong_values(name: str, parameter: inspect.Parameter) -> List[tuple]:
    """Values that are wrong for a setting, each with a word for what is right."""
    text, optional = type_name(parameter.annotation)
    values, right = WRONG[text]
    of_type = [(v, right) for v in values if not (v is None and optional)]
    negative = (-1,) if text in ('int', 'float') and name not in SIGNED else ()
    return of_type + [(v, '') for v in (*negative, *OUT_OF_RANGE.get(name, ()))]


def misspelt(name: str) -> str:
    """A name as a hasty user types it: 'loss_weihgt', 'tua'."""
    middle = len(name) // 2
    return name[:middle] + name[middle + 1] + name[middle] + name[middle + 2 :]


def generate(title, key, cls, use, show):
    """The wrong values and the misspelt names of all settings of a class.

    Args:
        title (str): Kind of the inputs.
        key (str): Config key that holds the settings.
        cls (type): The class.
        use (Callable): Given settings.
        show (Callable): How a message shows a wrong value.
    """
    add, misspell = kind(f'settings of {title}'), kind(f'misspelt settings of {title}')
    for name, parameter in settings(cls).items():
        for value, right in wrong_values(name, parameter):
            words = (f'{key}.{name}', show(value), right)
            add(f'{cls.__name__}.{name}={value!r}', words, use, **{name: value})
        wrong = misspelt(name)
        if wrong != name:
            # of a data set upstream tells, which knows no nearest name
            words = (key, repr(wrong), '' if show is type_of else repr(name))
            misspell(f'{cls.__name__}.{wrong}', words, use, **{wrong: OMIT})


def shown(value) -> str:
    """How a message shows a wrong value: of a list, the item; it may call it empty."""
    if isinstance(value, list) and value:
        return repr(value[0])
    return '' if value in ('', [], {}) else repr(value)


def type_of(value) -> str:
    """How a message shows what may be a whole data set."""
    return type(value).__name__


def use_loss(cls, **setting):
    """A wrong setting of a loss of boxes is told before that a classifier has none."""
    distil_with(dict(type=f'luminet_mm.{cls}', **plain(setting)))


def plain(setting):
    """A misspelt name gets a value that many settings would take."""
    return {name: 1 if value is OMIT else value for name, value in setting.items()}


def use_source(cls, **setting):
    """The same for sources."""
    distil(source=dict(type=cls, **plain(setting)))


def use_hook(folder, cls, **setting):
    hook = dict(type=f'luminet_mm.{cls}', **plain(setting))
    cfg = doings.run_cfg(folder)
    cfg.custom_hooks = [hook]
    check_run(cfg, 'train')
    doings.hook(**hook)


def use_distiller(cls, **setting):
    distil(type=f'luminet_mm.{cls}', **plain(setting))


def use_preprocessor(cls, **setting):
    doings.preprocessor(type=f'luminet_mm.{cls}', **plain(setting))


def use_dataset(cls, **setting):
    doings.dataset(type=f'luminet_mm.{cls}', **plain(setting))


def use_backbone(cls, **setting):
    right = dict(
        CIFARResNet=dict(depth=8), CIFARVGG=dict(depth=8), WideResNet=dict(depth=10)
    )
    setting = {**right.get(cls, {}), **plain(setting)}
    student = classifier()
    student['backbone'] = dict(type=f'luminet_mm.{cls}', **setting)
    distil(student=student)


def members(of, package: str) -> Dict[str, type]:
    """The registered classes of a part of this project."""
    of.import_from_location()
    return {
        name: cls
        for name, cls in sorted(of.module_dict.items())
        if cls.__module__.startswith(f'luminet_mm.{package}')
    }


KINDS = (
    ('losses', 'model.distill_losses.loss_x', registry.MODELS, 'losses', use_loss),
    ('sources', 'model.source', registry.SOURCES, 'distillers', use_source),
    ('distillers', 'model', registry.MODELS, 'distillers', use_distiller),
    ('hooks', '{}', registry.HOOKS, 'hooks', use_hook),
    (
        'preprocessors',
        'data_preprocessor',
        registry.MODELS,
        'models.data_preprocessors',
        use_preprocessor,
    ),
    ('backbones', 'backbone', registry.MODELS, 'models.backbones', use_backbone),
    ('data sets', '{}', registry.DATASETS, 'datasets', use_dataset),
)
for title, key, of, package, use in KINDS:
    for name, cls in members(of, package).items():
        show = type_of if title == 'data sets' else shown
        generate(title, key.format(name), cls, partial(use, cls=name), show)

# ----------------------------------------------------------------- wrong containers
LOSSES = 'model.distill_losses'


def with_loss(loss, name='loss_x', **changes):
    distil(distill_losses={name: loss}, **changes)


add = kind('wrong containers')
add('a loss by its name', f"{LOSSES}.loss_x & 'KDLoss' & dict", with_loss, 'KDLoss')
add('a loss in a list', f'{LOSSES}.loss_x & dict', with_loss, [KD])
add('a loss that is None', f'{LOSSES}.loss_x & None & dict', with_loss, None)
add('a loss that is a weight', f'{LOSSES}.loss_x & 4.0 & dict', with_loss, 4.0)
add('a loss without type', f'{LOSSES}.loss_x & type', with_loss, dict(tau=4.0))
add('a loss of type None', f'{LOSSES}.loss_x.type=None', with_loss, dict(type=None))
add('a loss of type 5', f'{LOSSES}.loss_x.type=5', with_loss, dict(type=5))
add('the losses are one loss', f'{LOSSES} & type', distil, distill_losses=KD)
add('a list of losses', f'{LOSSES} & dict', distil, distill_losses=[KD, KD])
add('a loss without "loss"', f"{LOSSES}.kd & 'loss'", with_loss, KD, 'kd')
add('a loss with a dot', f'{LOSSES} & loss.kd', with_loss, KD, 'loss.kd')
add('a loss named by ""', f"{LOSSES} & 'loss'", with_loss, KD, '')
add('a loss named by 5', f'{LOSSES} & 5', with_loss, KD, 5)
add('the student\'s own "loss"', f"{LOSSES} & 'loss'", with_loss, KD, 'loss')
for wrong in ('logit', 'deltas', 'objectness', 5, ['logits']):
    add(
        f'compares={wrong!r}',
        f'{LOSSES}.loss_x & {wrong} & logits',
        with_loss,
        dict(KD, compares=wrong),
    )
for wrong in ('ClassifierSource', ['ClassifierSource'], {}, dict(type=None)):
    add(f'source={wrong!r}', 'model.source & ClassifierSource', distil, source=wrong)
add(
    'a source of another family',
    'TwoStageSource & ImageClassifier',
    distil,
    source=dict(type='TwoStageSource'),
)
add(
    'a source that is a loss',
    'model.source.type & KDLoss & ClassifierSource',
    distil,
    source=dict(type='KDLoss'),
)
for role in ('student', 'teacher'):
    key = f'model.{role}'
    for name, words, value in (
        ('without type', f'{key} & cfg_path & type', dict(depth=3)),
        ('empty', f'{key} & cfg_path & type', {}),
        ('in a list of lists', key, [[classifier()]]),
        ("a model's name", f"{key} & 'resnet18' & dict", 'resnet18'),
        ('of type 5', f'{key}.type=5', dict(type=5)),
        ('of type None', f'{key} & type', dict(type=None)),
        ('of an unknown type', f'{key} & NoNet', dict(type='NoNet')),
        ('a loss', f'{key} & KDLoss', dict(type='luminet_mm.KDLoss')),
        (
            'a backbone',
            f'{key} & WideResNet',
            dict(type='luminet_mm.WideResNet', depth=10),
        ),
    ):
        add(f'{role}: {name}', words, distil, **{role: value})
    for path, words in (
        (5, '5'),
        ('', "''"),
        ('.', "'.' & file"),
        ('nowhere.py', "'nowhere.py' & no such file"),
        ('mmdet:faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'no such file'),
        ('mmdet::', 'mmdet & no such config'),
        ('mmdet::faster-rcnn_r50_fpn_1x_coco.py', 'mmdet & no such config'),
        ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coc.py', 'no such config'),
        ('mdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', "'mdet' & 'mmdet'"),
        ('mmpretrain::_base_/default_runtime.py', 'defines no & `model`'),
    ):
        add(
            f'{role}.cfg_path={path!r}',
            f'{key}.cfg_path & {words}',
            distil,
            **{role: dict(cfg_path=path)},
        )
    for name, content, words in (
        ('a syntax error', 'model = dict(', ''),
        ('an unknown name', 'model = dict(type=ResNet)', 'ResNet'),
        ('empty', '', '`model`'),
        ('model = 5', 'model = 5', ''),
        ('model = []', 'model = []', ''),
        ('a missing base', "_base_ = './none.py'", 'none.py'),
    ):

        def from_file(folder, content, role):
            doings.file(folder, 'model.py', content)
            distil(**{role: dict(cfg_path='model.py')})

        add(
            f'{role}: a config file, {name}',
            f'{key}.cfg_path & model.py & {words}',
            from_file,
            content=content,
            role=role,
        )
add(
    'two teachers, one checkpoint',
    'model.teacher_ckpt & 2 & 1',
    distil,
    teacher=[classifier(), classifier()],
)
add(
    'one teacher, two checkpoints',
    'model.teacher_ckpt & 2 & 1',
    distil,
    teacher_ckpt=['a.pth', 'b.pth'],
)
add('an unknown distiller', 'LogitDistiler', distil, type='luminet_mm.LogitDistiler')

add = kind('what an inherited config leaves over')
LEFT = "'{}' & _delete_"
add(
    'of another loss',
    f'{LOSSES}.loss_x & ' + LEFT.format('sync_stats'),
    with_loss,
    dict(KD, sync_stats=True),
)
add(
    'of DKD in LumiNet',
    f'{LOSSES}.loss_x & ' + LEFT.format('beta'),
    with_loss,
    dict(type='luminet_mm.LuminetLoss', beta=8.0),
)
add(
    'of LumiNet in mmrazor.DISTLoss',
    f'{LOSSES}.loss_x & ' + LEFT.format('sync_stats'),
    with_loss,
    dict(type='mmrazor.DISTLoss', sync_stats=True, eps=1e-5),
)
add(
    'of another source',
    'model.source & ' + LEFT.format('teacher_stage'),
    distil,
    source=dict(type='ClassifierSource', teacher_stage=1),
)
add(
    'of a teacher in mutual learning',
    'model & ' + LEFT.format('teacher'),
    distil,
    type='luminet_mm.MutualDistiller',
    teacher=classifier(),
)
add(
    'of a mutual student in one with a teacher',
    'model & ' + LEFT.format('peers'),
    distil,
    peers=classifier(),
)
for role in ('student', 'teacher'):
    add(
        f'of a detector in the {role}',
        f'model.{role} & ' + LEFT.format('roi_head'),
        distil,
        **{role: classifier(roi_head=dict(type='StandardRoIHead'))},
    )
    add(
        f'of a classifier in the {role}',
        f'model.{role} & ' + LEFT.format('head'),
        distil,
        'faster_rcnn',
        **{role: faster_rcnn(head=dict(type='LinearClsHead'))},
    )

add = kind('misspelt settings of models')
for role in ('student', 'teacher'):
    for wrong, right in (
        ('bakbone', 'backbone'),
        ('haed', 'head'),
        ('nekc', 'neck'),
        ('trian_cfg', 'train_cfg'),
        ('data_preprocesor', 'data_preprocessor'),
    ):
        add(
            f'{role}.{wrong}',
            f"model.{role} & '{wrong}' & '{right}'",
            distil,
            **{role: classifier(**{wrong: dict(type='X')})},
        )
    add(
        f'{role}.cfg_pth',
        f"model.{role} & 'cfg_pth' & cfg_path",
        distil,
        **{role: dict(cfg_pth='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')},
    )
    for wrong, right in (('roi_haed', 'roi_head'), ('bbox_head', ''), ('rpn', '')):
        add(
            f'{role}.{wrong} of a detector',
            f"model.{role} & '{wrong}' & {right}",
            distil,
            'faster_rcnn',
            **{role: faster_rcnn(**{wrong: dict(type='X')})},
        )
    for wrong, right in (
        ('backbone.dpeth', 'depth'),
        ('backbone.base_chanels', 'base_channels'),
        ('head.num_clases', 'num_classes'),
        ('head.los', 'loss'),
        ('head.loss.loss_weigth', 'loss_weight'),
        ('data_preprocessor.tu_rgb', 'to_rgb'),
    ):
        part, name = wrong.rsplit('.', 1)
        change = {name: 1}
        for outer in reversed(part.split('.')):
            change = {outer: change}
        words = f"model.{role}.{part} & {name} & '{right}'"
        add(f'{role}.{wrong}', words, distil, **{role: classifier(**change)})
for wrong, right in (
    ('luminet_mm.LumientLoss', 'LuminetLoss'),
    ('luminet_mm.KdLoss', 'KDLoss'),
    ('luminet_mm.DIST', 'DISTLoss'),
    ('LuminetLoss', 'luminet_mm.LuminetLoss'),
    ('luminetmm.KDLoss', 'luminet_mm.KDLoss'),
    ('mmrazor.KLDivergense', ''),
):
    add(
        f'the loss {wrong}',
        f'{LOSSES}.loss_x.type & {wrong} & {right}',
        with_loss,
        dict(type=wrong),
    )
for wrong, right in (
    ('ClasifierSource', 'ClassifierSource'),
    ('TwoStage', 'TwoStageSource'),
):
    add(
        f'the source {wrong}',
        f'model.source.type & {wrong} & {right}',
        distil,
        source=dict(type=wrong),
    )
for wrong, right in (
    ('temperature', 'tau'),
    ('T', 'tau'),
    ('weight', 'loss_weight'),
    ('alpha', 'loss_weight'),
):
    add(
        f"another project's {wrong}",
        f"{LOSSES}.loss_x & '{wrong}' & {right}",
        with_loss,
        dict(KD, **{wrong: 4.0}),
    )

# ---------------------------------------------------------------------- checkpoints
CKPT = 'model.teacher_ckpt'


def changed(**changes):
    """What makes another checkpoint of a right one: keys set, or left out."""

    def change(content):
        content.update(changes)
        return {key: value for key, value in content.items() if value is not OMIT}

    return change


def tensors(change):
    """What changes each tensor of a checkpoint, as ``change(name, tensor)`` does."""

    def change_all(content):
        state = content['state_dict']
        return dict(state_dict={k: change(k, v) for k, v in state.items()})

    return change_all


def renamed(change, without=''):
    """What renames the tensors of a checkpoint; those named by ``without`` go."""

    def change_all(content):
        state = content['state_dict'].items()
        kept = {change(k): v for k, v in state if not without or without not in k}
        return dict(state_dict=kept)

    return change_all


def first(value):
    """What sets the first entry of one tensor."""

    def change(name, tensor):
        if name == 'head.fc.weight':
            tensor = tensor.clone()
            tensor.view(-1)[0] = value
        return tensor

    return tensors(change)


def whole():
    with open(weights(), 'rb') as file:
        return file.read()


def at(folder, path, make=None, **changes):
    """A step with a teacher from a path in the folder, where something may be made."""
    if make is not None:
        make(folder / path)
    distil(teacher_ckpt=path, **changes)


HTML = '<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>'


def classifier_of_7():
    return classifier(num_classes=7)


def zipped(folder):
    with zipfile.ZipFile(folder / 'teacher.pth', 'w') as archive:
        archive.writestr('readme.txt', 'no weights here')
    distil(teacher_ckpt='teacher.pth')


add = kind('checkpoints')
add('missing', f"{CKPT}='none.pth' & no such file", at, path='none.pth')
add('a folder', f"{CKPT}='run'", at, path='run', make=lambda p: p.mkdir())
add('not expanded ~', f"{CKPT}='~/teacher.pth'", at, path='~/teacher.pth')
add('a space too many', f"{CKPT}='teacher.pth '", at, path='teacher.pth ')
add('unset', f'{CKPT} & --cfg-options', distil, teacher_ckpt=None)
for url in ('http://127.0.0.1:9/t.pth', 'htp://127.0.0.1/t.pth', 's4://bucket/t.pth'):
    add(f'nothing at {url}', f"{CKPT}='{url}'", at, path=url)
add('an unknown zoo', f"{CKPT} & 'mdet'", at, path='mdet::yolo/x.py')
add('an unknown zoo config', f'{CKPT} & no', at, path='mmdet::yolo/nothing.py')
add(
    'a zoo config without weights',
    f'{CKPT} & weights',
    at,
    path='mmdet::_base_/models/faster-rcnn_r50_fpn.py',
)
for name, content, words in (
    ('empty', b'', 'empty'),
    ('a web page', HTML, 'web page'),
    ('a text', 'version https://git-lfs.github.com/spec/v1\noid sha256:12', 'text'),
    ('JSON', '{"state_dict": {}}', 'cannot be read'),
    ('zeros', bytes(4096), 'cannot be read'),
    ('an image', b'\x89PNG\r\n\x1a\n' + bytes(64), 'cannot be read'),
    ('a list', [1, 2], 'list & dict'),
    ('a tensor', torch.zeros(3), 'Tensor & dict'),
    ('a number', 5, 'int & dict'),
    ('None', None, 'None & dict'),
    ('an empty dict', {}, 'no'),
    ('only meta', dict(meta=dict(epoch=3)), 'no'),
    ('state_dict=None', dict(state_dict=None), 'state_dict'),
    ('state_dict is a list', dict(state_dict=[torch.zeros(3)]), 'state_dict'),
    ('state_dict={}', dict(state_dict={}), 'state_dict'),
    ('keys that are no texts', dict(state_dict={1: torch.zeros(3)}), '1'),
    ('texts for tensors', tensors(lambda k, v: 'x'), 'backbone.conv1.weight'),
    ('numbers for tensors', tensors(lambda k, v: 1.0), 'backbone.conv1.weight'),
    ('only the optimizer', changed(state_dict=OMIT, optimizer={}), 'optimizer'),
    ('a tensor too few', renamed(str, without='fc.bias'), 'missing & head.fc.bias'),
    ('no head', renamed(str, without='head'), 'missing & head.fc.bias'),
    ('only a head', renamed(str, without='backbone'), 'missing & backbone.conv1'),
    ('of timm', renamed(lambda k: k.replace('backbone.', '')), 'backbone.conv1'),
    ('of mmrazor', renamed(lambda k: f'architecture.{k}'), 'architecture. & mmrazor'),
    (
        'of a distiller of mmrazor',
        renamed(lambda k: f'architecture.student.{k}'),
        'archi',
    ),
    ('of EMA alone', renamed(lambda k: f'ema_model.{k}'), 'ema'),
    ('EMA beside nothing', lambda c: dict(ema_state_dict=c['state_dict']), 'ema'),
    ('of mdistiller', lambda c: dict(model=c['state_dict']), "'model'"),
    ('NaN', first(nan), 'head.fc.weight & nan'),
    ('inf', first(inf), 'head.fc.weight & inf'),
    ('-inf', first(-inf), 'head.fc.weight & inf'),
    ('all NaN', tensors(lambda k, v: v * nan), 'backbone.conv1.weight & nan'),
    ('integers', tensors(lambda k, v: v.long()), 'backbone.conv1.weight & int64'),
    ('booleans', tensors(lambda k, v: v.bool()), 'backbone.conv1.weight & bool'),
    ('bytes', tensors(lambda k, v: v.byte()), 'backbone.conv1.weight & uint8'),
    (
        'transposed',
        tensors(lambda k, v: v.t() if k == 'head.fc.weight' else v),
        'head.fc.weight & size mismatch',
    ),
):
    add(name, f'{CKPT} & teacher.pth & {words}', teach_from, content=content)
for share in (0.01, 0.5, 0.99):
    add(
        f'cut at {share:.0%}',
        f'{CKPT} & teacher.pth & cannot be read',
        teach_from,
        content=lambda c, share=share: whole()[: int(share * len(whole()))],
    )
add(
    'of another depth',
    f'{CKPT} & teacher.pth',
    teach_from,
    content=changed(),
    teacher=classifier(backbone=dict(depth=34)),
)
add(
    'of another width',
    f'{CKPT} & size mismatch',
    teach_from,
    content=changed(),
    teacher=classifier(backbone=dict(base_channels=16), head=dict(in_channels=128)),
)
add(
    'of another class count',
    f'{CKPT} & size mismatch & head.fc',
    teach_from,
    content=changed(),
    teacher=classifier(num_classes=7),
)
add(
    'of a detector',
    f'{CKPT} & does not fit',
    distil,
    teacher_ckpt=weights(faster_rcnn),
)
add(
    'other class counts',
    'student & 5 & teacher & 7',
    distil,
    teacher=classifier(num_classes=7),
    teacher_ckpt=weights(classifier_of_7),
)
add('a zip without weights', f'{CKPT} & teacher.pth & cannot be read', zipped)

add = kind('checkpoints that must load', 'works')
add(
    'of DistributedDataParallel',
    '',
    teach_from,
    content=renamed(lambda k: f'module.{k}'),
)
add('without meta', '', teach_from, content=changed(meta=OMIT))
add('tensors alone', '', teach_from, content=lambda c: c['state_dict'])
add(
    'half precision',
    '',
    teach_from,
    content=tensors(lambda k, v: v.half() if v.is_floating_point() else v),
)
add(
    'double precision',
    '',
    teach_from,
    content=tensors(lambda k, v: v.double() if v.is_floating_point() else v),
)
add(
    'with EMA beside',
    '',
    teach_from,
    content=lambda c: dict(c, ema_state_dict=c['state_dict']),
)
for meta in (5, None, 'x', {}, dict(classes='abc'), dict(dataset_meta=5)):
    add(f'meta={meta!r}', '', teach_from, content=changed(meta=meta))

add = kind('checkpoints that run code', 'warning')
for how in ('system', 'exec', 'eval'):
    add(
        f'teacher, {how}',
        f'{CKPT} & evil.pth',
        read_evil,
        how=how,
        use=lambda folder, path: distil(teacher_ckpt=path),
    )
    add(
        f'old format, {how}',
        f'{CKPT} & evil.pth',
        read_evil,
        how=how,
        use=lambda folder, path: distil(teacher_ckpt=path),
        _use_new_zipfile_serialization=False,
    )
    add(
        f'converter, {how}',
        'evil.pth',
        read_evil,
        how=how,
        use=lambda folder, path: tool(
            'model_converters/mdistiller2mmpretrain.py',
            f'{doings.ROOT}/configs/cifar100/resnet56.py',
            path,
            'out.pth',
        ),
    )
for name, use in (
    ('load_from', lambda folder, path: train(folder, load_from=path)),
    ('--resume', lambda folder, path: train(folder, f'--resume={path}')),
    (
        'tools/test.py',
        lambda folder, path: test(folder, path, family='faster_rcnn'),
    ),
    (
        'init_cfg of the student',
        lambda folder, path: distil(
            student=classifier(init_cfg=dict(type='Pretrained', checkpoint=path))
        ),
    ),
):
    add(name, 'evil.pth', read_evil, how='system', use=use)


# ------------------------------------------------------------------ numbers in a run
def pixels(**changes):
    return classifier(data_preprocessor=changes)


def with_model(folder, family='classifier', **model):
    """A short training with another model."""
    train(folder, family=family, model=model)


add = kind('pixels')
for role in ('student', 'teacher'):
    key = f'model.{role}.data_preprocessor'
    for setting, value in (
        ('std', [0, 0, 0]),
        ('std', [58.0, 0, 57.0]),
        ('std', [nan] * 3),
        ('std', [inf] * 3),
        ('std', [-1.0] * 3),
        ('mean', [nan] * 3),
        ('mean', [inf, 0, 0]),
    ):
        add(
            f'{role}: {setting}={value}',
            f'{role} & data_preprocessor & {setting}',
            distil,
            **{role: pixels(**{setting: value})},
        )
    add(
        f'{role}: an unknown preprocessor',
        'ClsDataPreprocesor',
        distil,
        **{role: pixels(type='ClsDataPreprocesor')},
    )
    for wrong in (5, 'ClsDataPreprocessor'):
        add(
            f'{role}: data_preprocessor={wrong!r}',
            'data_preprocessor & dict',
            distil,
            **{role: classifier(data_preprocessor=wrong)},
        )


def frozen():
    """A student without a parameter that is trained."""
    student = classifier(backbone=dict(frozen_stages=4))
    student['head'] = dict(type='ClsHead', loss=dict(type='CrossEntropyLoss'))
    return student


add = kind('numbers in a run')
add(
    'a learning rate of 1e6',
    'loss=nan & checkpoint',
    train,
    optim_wrapper=dict(optimizer=dict(lr=1e6)),
)
add(
    'a negative learning rate',
    'learning rate & -1',
    train,
    optim_wrapper=dict(optimizer=dict(lr=-1.0)),
)
add(
    'a NaN in mid-run',
    'loss_x=nan & epoch_1.pth',
    with_model,
    distill_losses=dict(loss_x=dict(type='luminet_mm.LossThatBreaks')),
)
add(
    'an inf in mid-run',
    'loss_x=inf & epoch_1.pth',
    with_model,
    distill_losses=dict(loss_x=dict(type='luminet_mm.LossThatBreaks', value='inf')),
)
add(
    'a weight of 1e38',
    'loss_x=nan',
    with_model,
    distill_losses=dict(loss_x=dict(KD, loss_weight=1e38)),
)
add(
    'a frozen student',
    'model.student & frozen',
    with_model,
    student=frozen(),
    teacher=frozen(),
    teacher_ckpt=weights(frozen),
)
add(
    'a teacher of the names in another order',
    'class & number',
    with_model,
    teacher_ckpt=weights(
        classifier, classes=tuple(f'class{i}' for i in (1, 0, 2, 3, 4))
    ),
)
add(
    'a teacher of two classes by name',
    '2 & 5',
    with_model,
    teacher_ckpt=weights(classifier, classes=('class0', 'class1')),
)
for stage in ('student_stage', 'teacher_stage'):
    add(
        f'{stage}=1 of a detector without stages',
        f'model.source.{stage}=1',
        distil,
        'faster_rcnn',
        source=dict(type='TwoStageSource', **{stage: 1}),
    )
    add(
        f'{stage}=3 of a cascade',
        f'model.source.{stage}=3 & 0 to 2',
        distil,
        'faster_rcnn',
        student=cascade_rcnn(),
        teacher=cascade_rcnn(),
        teacher_ckpt=weights(cascade_rcnn),
        source=dict(type='TwoStageSource', **{stage: 3}),
    )

add = kind('numbers worth a warning', 'warning')
for scope, model in (('classifier', classifier), ('faster_rcnn', faster_rcnn)):
    names = ('u', 'v', 'w', 'x', 'y') if scope == 'classifier' else ('u', 'v', 'w')
    add(
        f'a teacher of other names, {scope}',
        f'teacher & none has the same name & {names[0]}',
        with_model,
        family=scope,
        teacher_ckpt=weights(model, classes=names),
    )
add('a warm-up longer than the run', 'model.warmup=20 & 2', with_model, warmup=20)
add(
    'a warm-up of more iterations',
    'model.warmup=500 & 8',
    with_model,
    warmup=500,
    warmup_by_epoch=False,
)
add(
    'batches of one',
    'LuminetLoss & a batch of one',
    distil,
    batch=image_batch(1),
    distill_losses=dict(loss_x=dict(type='luminet_mm.LuminetLoss')),
)
add(
    'misspelt class names of a data set',
    'metainfo & classes',
    train,
    family='faster_rcnn',
    train_dataloader=dict(dataset=dict(metainfo=dict(classes=('A', 'B', 'C')))),
)
add(
    'a teacher of constant logits',
    'teacher & the same logits',
    teach_from,
    content=tensors(lambda k, v: v * 0 if k.startswith('head') else v),
)
add(
    'a teacher of logits of 1e30',
    'teacher & logits',
    teach_from,
    content=tensors(lambda k, v: v * 1e30 if k.startswith('head') else v),
)
add(
    'a loss that is always zero',
    'loss_x & zero',
    train,
    model=dict(distill_losses=dict(loss_x=dict(KD, loss_weight=0.0))),
    custom_hooks=[dict(type='luminet_mm.ZeroLossHook', interval=1)],
)

# ----------------------------------------------------------------------------- tools
# Variables that the rest is made of when the file is read
VARIABLES = """
_base_ = './base.py'
max_epochs = 1
num_classes = 5
image_scale = (32, 32)
teacher = '{teacher}'
train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
model = dict(
    teacher_ckpt=teacher,
    student=dict(head=dict(num_classes=num_classes)),
    teacher=dict(head=dict(num_classes=num_classes)),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=image_scale),
            dict(type='PackInputs'),
        ]
    )
)
"""


def train_with(folder, *arguments):
    train(folder, *arguments)


def option_of(folder, *options):
    train(folder, '--cfg-options', *options)


def unread(folder, option):
    """Override a variable; the run must be another, or refuse."""
    doings.run_cfg(folder).dump(folder / 'base.py')
    text = VARIABLES.format(teacher=weights())
    doings.file(folder, 'config.py', text)
    tool('train.py', 'config.py', '--work-dir', 'run', '--cfg-options', option)


def tool_of(folder, content, name, *arguments):
    """A tool with a config file of this content."""
    if content is not None:
        doings.file(folder, 'config.py', content)
    tool(name, 'config.py', *arguments)


def test_with(folder, ckpt, *arguments):
    doings.file(folder, 'page.pth', HTML)
    test(folder, ckpt or weights(faster_rcnn), *arguments, family='faster_rcnn')


def test_half(folder):
    content = torch.load(weights(faster_rcnn))
    state = content['state_dict']
    content['state_dict'] = {k: v for k, v in state.items() if 'rpn' not in k}
    test(folder, doings.file(folder, 'half.pth', content), family='faster_rcnn')


def deeper():
    return faster_rcnn(backbone=dict(depth=34))


def resume_other(folder):
    """Resume from a run of another model."""
    student = classifier(backbone=dict(depth=34))
    train(folder, model=dict(student=student))
    path = folder / 'run' / 'epoch_1.pth'
    train(folder, '--resume', path, '--work-dir', 'other')


def load_other(folder):
    train(folder, '--cfg-options', f'load_from={weights(faster_rcnn)}')


add = kind('options of tools')
for wrong, right in (
    ('modle.teacher_ckpt=t.pth', 'model'),
    ('Model.teacher_ckpt=t.pth', 'model'),
    ('trian_cfg.max_epochs=3', 'train_cfg'),
    ('optim_wraper.optimizer.lr=1', 'optim_wrapper'),
    ('train_dataloder.batch_size=2', 'train_dataloader'),
    ('param_schedular=None', 'param_scheduler'),
    ('default_hook.checkpoint.interval=2', 'default_hooks'),
    ('custom_hook=[]', 'custom_hooks'),
    ('randomnes.seed=1', 'randomness'),
    ('loadfrom=t.pth', 'load_from'),
    ('lr=0.1', ''),
    ('epochs=3', ''),
    ('max_epochs=3', ''),
    ('batch_size=64', ''),
    ('seed=1', ''),
    ('teacher_ckpt=t.pth', ''),
    ('data_rot=data', ''),
):
    root = wrong.split('.')[0].split('=')[0]
    add(f'train.py {wrong}', f'--cfg-options & {root} & {right}', option_of, wrong)
for wrong, words in (
    ('model.techer_ckpt=t.pth', "model & 'techer_ckpt' & 'teacher_ckpt'"),
    ('model.warmpu=3', "model & 'warmpu' & 'warmup'"),
    ('model.distill_losses.loss_dk.tau=3', f'{LOSSES} & loss_dk & loss_kd'),
    ('model.distill_losses.loss_kd.tua=3', f"{LOSSES}.loss_kd & 'tua' & 'tau'"),
    ('model.distill_losses.loss_kd.tau=x', f"{LOSSES}.loss_kd.tau='x' & number"),
    ('model.distill_loss.loss_kd.tau=3', "model & 'distill_loss' & 'distill_losses'"),
    ('model.teacher_ckpt=none.pth', f"{CKPT}='none.pth' & no such file"),
    ('model.warmup=a', "model.warmup='a' & integer"),
    ('model.warmup=1.5', 'model.warmup=1.5 & integer'),
    ('model.source=DenseSource', "model.source & 'DenseSource' & dict"),
    ('model.student.backbne.depth=34', "model.student & 'backbne' & 'backbone'"),
    ('runner_type=FlexRunner', 'runner & FlexRunner'),
    ('load_from=none.pth', 'none.pth & no such file'),
    ('model', '--cfg-options & model & ='),
    ('model.', '--cfg-options & model.'),
    ('=3', '--cfg-options & =3'),
    ('model=5', 'model & 5'),
):
    add(f'train.py {wrong}', words, option_of, wrong)
for name, content, words in (
    ('no such file', None, 'config.py'),
    ('a syntax error', 'model = dict(', 'config.py'),
    ('an empty config', '', 'model'),
    ('a missing base', "_base_ = './none.py'", 'none.py'),
):
    for name_of_tool, *rest in (('train.py',), ('test.py', weights())):
        add(f'{name_of_tool}: {name}', words, tool_of, content, name_of_tool, *rest)
for arguments, words in (
    (['--resume', 'none.pth'], '--resume & none.pth & no such'),
    (['--resume', '.'], 'no such file'),
    (['--auto-scale-lr'], 'auto_scale_lr.base_batch_size'),
    (['--launcher', 'slurm'], '--launcher slurm'),
    (['--launcher', 'torch'], '--launcher & torch'),
    (['--work-dir', 'config.py'], 'work_dir & config.py'),
    (['--wrk-dir', 'x'], '--wrk-dir'),
    (['--amp'], '--amp'),
    (['extra.py'], 'extra.py'),
):
    add(f'train.py {" ".join(arguments)}', words, train_with, *arguments)
for ckpt, arguments, words in (
    ('none.pth', [], 'none.pth & no such'),
    ('.', [], 'no such'),
    ('page.pth', [], 'page.pth & cannot be read'),
    (None, ['--out', 'x.json'], '--out & .pkl'),
    (None, ['--tta'], '--tta & tta_model'),
    (None, ['--show-dir', 'x'], '--show-dir & visualization'),
    (None, ['--cfg-options', 'modle.x=1'], '--cfg-options & modle & model'),
    (None, ['--launcher', 'slurm'], '--launcher slurm'),
):
    add(
        f'test.py {ckpt or ""} {" ".join(arguments)}',
        words,
        test_with,
        ckpt,
        *arguments,
    )
for name, make, words in (
    ('another depth', deeper, 'not of the model & layer1'),
    ('another family', doings.retinanet, 'not of the model & lateral_convs'),
):
    add(
        f'test.py with a checkpoint of {name}',
        words,
        test_with,
        weights(make),
    )
add('test.py with half a checkpoint', 'missing & rpn_head', test_half)
add('--resume of another model', 'resume & backbone', resume_other)

add = kind('options worth a warning', 'warning')
add('load_from of another model', 'backbone', load_other)

# -------------------------------------------------------------- scripts and converters
RESNET56 = doings.ROOT + '/configs/cifar100/resnet56.py'
add = kind('scripts')
for name, arguments, env, words in (
    ('PORT=0', (), dict(PORT=0), 'PORT=0'),
    ('PORT=abc', (), dict(PORT='abc'), 'PORT=abc'),
    ('PORT=70000', (), dict(PORT=70000), 'PORT=70000'),
    ('NNODES=0', (), dict(NNODES=0), 'NNODES=0'),
    ('NNODES=two', (), dict(NNODES='two'), 'NNODES=two'),
    ('NODE_RANK=2 of 2', (), dict(NNODES=2, NODE_RANK=2), 'NODE_RANK=2'),
    ('NODE_RANK=-1', (), dict(NNODES=2, NODE_RANK=-1), 'NODE_RANK=-1'),
    ('NODE_RANK=1 of 1', (), dict(NODE_RANK=1), 'NODE_RANK=1'),
    ('a master that is not there', (), dict(MASTER_ADDR='no.invalid'), 'no.invalid'),
    ('0 processes', (0,), {}, 'GPUS=0'),
    ('-1 processes', (-1,), {}, 'GPUS=-1'),
    ('two processes', ('two',), {}, 'GPUS=two'),
    ('a forgotten number', ('--amp',), {}, 'GPUS=--amp'),
):
    add(
        f'dist_train.sh: {name}',
        words,
        script,
        'dist_train.sh',
        'none.py',
        *(arguments or (1,)),
        **env,
    )
    if name in ('PORT=0', '0 processes'):
        add(
            f'dist_test.sh: {name}',
            words,
            script,
            'dist_test.sh',
            'none.py',
            'none.pth',
            *(arguments or (1,)),
            **env,
        )
for name in (
    'dist_train.sh',
    'dist_test.sh',
    'slurm_train.sh',
    'slurm_test.sh',
    'train_chain.sh',
):
    add(f'{name} without arguments', f'Usage & {name}', script, name)
add(
    'train_chain.sh, the second config missing',
    'none.py & no such',
    script,
    'train_chain.sh',
    doings.ROOT + '/configs/demo/digits_student.py',
    'none.py',
)
add(
    'train_chain.sh, one config twice',
    'digits_student & work dir',
    script,
    'train_chain.sh',
    *[doings.ROOT + '/configs/demo/digits_student.py'] * 2,
)
add(
    'train_chain.sh, GPUS=two',
    'GPUS=two',
    script,
    'train_chain.sh',
    RESNET56,
    GPUS='two',
)

IMAGENET = 'dataset_converters/tinyimagenet2folders.py'
DIGITS = 'dataset_converters/digits2coco.py'
MDISTILLER = 'model_converters/mdistiller2mmpretrain.py'


def digits(folder, *arguments):
    """Make digit scenes where a file of another kind stands."""
    mine = Path(doings.file(folder, 'annotations/instances_train.json', '{}'))
    image = Path(doings.file(folder, 'train/000000.jpg', 'mine'))
    few = ('--num-train', 1, '--num-val', 1, '--num-test', 1)
    with doings.keeping(mine, image):
        tool(DIGITS, folder, *few, *arguments)


def tinyimagenet(folder, label='n01', name='val_0.JPEG', out='sets/out', arguments=()):
    """Convert a data set whose text file holds this label and this name."""
    source, label = folder / 'source', label.format(folder=folder)
    picture = doings.picture()
    doings.file(source, 'train/n01/images/n01_0.JPEG', picture)
    doings.file(source, 'val/images/val_0.JPEG', picture)
    doings.file(source, 'val/val_annotations.txt', f'{name}\t{label}\t0\t0\t1\t1\n')
    outside = Path(doings.file(folder, 'x/val_0.png', 'mine'))
    with doings.keeping(outside):
        before = doings.listing(folder)
        try:
            tool(IMAGENET, source, folder / out, *arguments)
        finally:
            new = doings.listing(folder) - before
            if any(not path.startswith(out) for path in new):
                raise doings.Lost(f'files outside of the folder: {new}')


add = kind('converters')
add('digits2coco over a folder', 'exists', digits)
for setting, value in (
    ('size', 10),
    ('size', 0),
    ('num-train', -1),
    ('seed', -1),
    ('num-train', 'many'),
    ('size', 'big'),
):
    add(
        f'digits2coco --{setting} {value}',
        f'{setting.split("-")[-1]} & {value}',
        lambda folder, *a: tool(DIGITS, folder / 'new', *a),
        f'--{setting}',
        value,
    )
add(
    'digits2coco in a file',
    'exists',
    lambda folder: tool(DIGITS, doings.file(folder, 'file', 'x'), '--num-train', 1),
)
for label in ('../../x', '{folder}/x', '..', '.', '', 'a/b'):
    add(
        f'Tiny ImageNet, label {label!r}',
        f'val_annotations.txt & {label.replace("{folder}", "")}',
        tinyimagenet,
        label=label,
    )
for name in (
    '../../../source/train/n01/images/n01_0.JPEG',
    '/etc/hostname',
    'none.JPEG',
    '',
):
    add(
        f'Tiny ImageNet, image {name!r}',
        f'val_annotations.txt & {name}',
        tinyimagenet,
        name=name,
    )
add('Tiny ImageNet, no columns', 'val_annotations.txt', tinyimagenet, 'n01', 'x\ny')
for size in (0, -1, 'big'):
    add(
        f'Tiny ImageNet --size {size}',
        f'size & {size}',
        tinyimagenet,
        arguments=('--size', size),
    )
add(
    'Tiny ImageNet, no source',
    'none & train',
    lambda folder: tool(IMAGENET, folder / 'none', folder / 'out'),
)
add(
    'Tiny ImageNet over a folder',
    'exists',
    tinyimagenet,
    out='source',
)
for name, arguments, words in (
    ('missing', [RESNET56, 'none.pth', 'out.pth'], 'none.pth & no such'),
    ('a folder', [RESNET56, '.', 'out.pth'], "checkpoint='.'"),
    ('of mmpretrain', [RESNET56, weights(), 'out.pth'], 'published form & model'),
    ('no config', ['none.py', weights(), 'out.pth'], "config='none.py'"),
    (
        'a detector',
        [doings.ROOT + '/configs/demo/digits_student.py', weights(), 'o.pth'],
        'model.backbone.type',
    ),
    ('out is a folder', [RESNET56, weights(), '.'], "out='.' & exists"),
    ('out exists', [RESNET56, weights(), weights()], 'out= & exists'),
):
    add(f'mdistiller2mmpretrain, {name}', words, tool, MDISTILLER, *arguments)


def with_logs(folder, name, *arguments):
    """A tool that reads logs/SEED/NAME."""
    for seed in '01':
        doings.log(folder / 'logs' / seed / 'kd', 'accuracy/top1', 70.0)
    tool(name, *arguments)


def analyse(folder, name, *arguments):
    """A tool that draws what the models of a distillation see."""
    family = 'faster_rcnn' if 'detections' in name else 'classifier'
    doings.run_cfg(folder, family).dump(folder / 'config.py')
    tool(f'analysis_tools/{name}', 'config.py', *arguments)


add = kind('analysis tools')
SEEDS, CURVES = 'analysis_tools/compare_seeds.py', 'analysis_tools/draw_curves.py'
for name, arguments, words in (
    ('no folder', [SEEDS, 'none'], 'none & no such'),
    ('an empty folder', [SEEDS, '.'], 'SEED/NAME'),
    ('a file', [SEEDS, weights()], 'no such folder'),
    ('no such name', [SEEDS, 'logs', '--names', 'kdd'], "kdd & 'kd'"),
    ('no such baseline', [SEEDS, 'logs', '--baseline', 'kdd'], "kdd & 'kd'"),
    (
        'no such metric',
        [SEEDS, 'logs', '--metrics', 'accuracy/top'],
        'accuracy/top & accuracy/top1',
    ),
    ('a test with a curve', [SEEDS, 'logs', '--test', '--curve', 'x.svg'], '--curve'),
    (
        'a curve of no format',
        [SEEDS, 'logs', '--curve', 'x.xyz', '--metrics', 'accuracy/top1'],
        'xyz & png',
    ),
    ('no log', [CURVES, 'out.svg', 'none'], 'none'),
    (
        'no such metric',
        [CURVES, 'out.svg', 'logs/0/kd', '--metric', 'coco/map'],
        'coco/map & accuracy/top1',
    ),
    (
        'too few names',
        [CURVES, 'o.svg', 'logs/0/kd', 'logs/1/kd', '--names', 'a'],
        '--names',
    ),
    (
        'a format that is none',
        [CURVES, 'o.xyz', 'logs/0/kd', '--metric', 'accuracy/top1'],
        'xyz & png',
    ),
    (
        'no folder for it',
        [CURVES, 'x/y/o.svg', 'logs/0/kd', '--metric', 'accuracy/top'],
        'accuracy/top',
    ),
):
    add(f'{arguments[0].split("/")[1]}: {name}', words, with_logs, *arguments)
for name, arguments, words in (
    ('draw_detections.py', ['none.pth', '--out', 'x.png'], 'none.pth & no such'),
    (
        'draw_detections.py',
        [weights(faster_rcnn), '--num-images', '0'],
        'num-images & 0',
    ),
    ('draw_detections.py', [weights(faster_rcnn), '--score-thr', '2'], 'score-thr & 2'),
    ('draw_perception.py', ['none.pth', '--out', 'x.png'], 'none.pth & no such'),
    ('draw_perception.py', [weights(), '--batch-size', '0'], 'batch-size & 0'),
    ('draw_perception.py', [weights(), '--batch-size', '-1'], 'batch-size & -1'),
    ('draw_perception.py', [weights(), '--max-rows', '0'], 'max-rows & 0'),
    ('draw_perception.py', [weights(), '--out', 'x.xyz'], 'x.xyz'),
    ('draw_perception.py', [weights(), '--before', 'none.pth'], 'none.pth & no such'),
):
    add(
        f'{name} {" ".join(arguments[:1] and [a for a in arguments if "/" not in a])}',
        words,
        analyse,
        name,
        *arguments,
    )


# ---------------------------------------------------------------------------- models
def zoo(path, **changes):
    """A model of the zoo whose logits are none that two models could compare."""
    model = dict(cfg_path=path, **changes)
    model['_scope_'] = path.split('::')[0]
    # to refuse a detector takes none of its weights
    with torch.device('meta' if path.startswith('mmdet') else 'cpu'):
        distil(student=model, teacher=model)


def with_head(head):
    return {**classifier(), 'head': head}


add = kind('models that cannot be distilled')
for path, words in (
    ('sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py', 'Sparse'),
    ('queryinst/queryinst_r50_fpn_1x_coco.py', 'QueryInst'),
    ('sabl/sabl-retinanet_r50_fpn_1x_coco.py', 'SABLRetinaHead'),
    ('guided_anchoring/ga-retinanet_r50-caffe_fpn_1x_coco.py', 'GARetinaHead'),
    ('cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py', 'CornerHead'),
    ('centernet/centernet_r18_8xb16-crop512-140e_coco.py', 'CenterNetHead'),
    ('yolo/yolov3_mobilenetv2_8xb24-ms-416-300e_coco.py', 'YOLOV3Head'),
    ('solo/solo_r50_fpn_1x_coco.py', 'SOLO'),
    ('mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', 'Mask2Former'),
    ('maskformer/maskformer_r50_ms-16xb1-75e_coco.py', 'MaskFormer'),
):
    add(path, f'model.student & {words}', zoo, f'mmdet::{path}')
for path, words in (
    ('mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py', 'MAE'),
    ('simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py', 'SimCLR'),
    ('mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py', 'MoCo'),
    ('arcface/resnet50-arcface_8xb32_inshop.py', 'ImageToImageRetriever'),
):
    add(path, f'model.student & {words}', zoo, f'mmpretrain::{path}')
MULTI_TASK = dict(
    type='MultiTaskHead',
    task_heads=dict(a=dict(type='LinearClsHead', num_classes=5, in_channels=64)),
)
ARCFACE = dict(type='ArcFaceClsHead', num_classes=5, in_channels=64)
for name, head, words in (
    ('MultiTaskHead', MULTI_TASK, 'MultiTaskHead'),
    ('ArcFaceClsHead', ARCFACE, 'ArcFace'),
    ('no head', None, 'head'),
):
    add(
        name,
        f'model.student & {words}',
        distil,
        student=with_head(head),
        teacher=with_head(head),
        teacher_ckpt=weights(partial(with_head, head)),
    )

add = kind('models that do not fit each other')
for student, teacher, words in (
    ('retinanet', 'fcos', 'model.teacher.bbox_head'),
    ('fcos', 'retinanet', 'model.teacher.bbox_head'),
    ('gfl', 'retinanet', 'model.teacher.bbox_head'),
    ('faster_rcnn', 'retinanet', 'RetinaNet & FasterRCNN'),
    ('retinanet', 'faster_rcnn', 'RetinaNet & FasterRCNN'),
    ('classifier', 'faster_rcnn', 'ImageClassifier & FasterRCNN'),
    ('faster_rcnn', 'classifier', 'ImageClassifier & FasterRCNN'),
    ('detr', 'dab', 'use_sigmoid & False & True'),
    ('dab', 'detr', 'use_sigmoid & False & True'),
    ('dab', 'retinanet', 'RetinaNet & DABDETR'),
    ('retinanet', 'dab', 'RetinaNet & DABDETR'),
):
    make = {name: partial(dense, name) for name in ('retinanet', 'fcos', 'gfl')}
    make.update({name: partial(detr, name) for name in ('detr', 'dab')})
    make.update(faster_rcnn=faster_rcnn, classifier=classifier)
    add(
        f'{teacher} to {student}',
        f'model.teacher & {words}',
        distil,
        student=make[student](),
        teacher=make[teacher](),
        teacher_ckpt=weights(make[teacher]),
    )
add = kind('sizes at which a teacher sees')
for make, wrong, words in (
    *((classifier, dict(scale=s), f'{s!r}') for s in (0, -1, nan, inf, '2', True, [2])),
    *((classifier, dict(size=s), f'{s!r}') for s in (224, '224', (224,), (1, 2, 3))),
    (classifier, dict(size=(0, 32)), '0'),
    (classifier, dict(size=(32, 1.5)), '1.5'),
    (classifier, dict(size=(32, None)), 'None'),
    (classifier, dict(size=(32, 32), scale=2), 'scale & one of the two'),
    (faster_rcnn, dict(size=(96, 96)), 'scale & FasterRCNN'),
    (partial(detr, 'dab'), dict(size=(96, 96)), 'scale & DABDETR'),
    (partial(dense, 'retinanet'), dict(scale=1.5), 'scale & 1.5 & 0.5'),
    (partial(dense, 'fcos'), dict(scale=3), 'scale & 3 & 0.5'),
):
    add(
        f'{make().get("type", make().get("cfg_path"))}, {wrong}',
        f'model.teacher & {words}',
        distil,
        student=make(),
        teacher=dict(make(), **wrong),
    )
for stop in ('stop_epoch', 'stop_iter'):
    add(
        f'no own loss, and {stop}',
        f'model.{stop}=2 & model.own_loss_weight=0',
        distil,
        own_loss_weight=0,
        **{stop: 2},
    )
add = kind('models that do not fit each other')
add(
    'a mutual student that is a detector',
    'model.student & FasterRCNN',
    distil,
    'faster_rcnn',
    type='luminet_mm.MutualDistiller',
)
add(
    'a peer that is a detector',
    'model.peers & FasterRCNN',
    distil,
    type='luminet_mm.MutualDistiller',
    peers=[faster_rcnn()],
)
add(
    'a peer of other classes',
    'model.peers & 7',
    distil,
    type='luminet_mm.MutualDistiller',
    peers=[classifier(), classifier(7)],
)
add(
    'a teacher of other classes',
    'model.teacher & 7',
    distil,
    teacher=classifier(7),
    teacher_ckpt=weights(classifier_of_7),
)
add(
    'boxes of a classifier',
    f'{LOSSES}.loss_x & BoxLoss & logits',
    with_loss,
    dict(type='luminet_mm.BoxLoss'),
)
for loss in (
    'FBLoss',
    'FSPLoss',
    'PKDLoss',
    'OnehotLikeLoss',
    'ActivationLoss',
    'FGDLoss',
    'DAFLLoss',
):
    add(
        f'mmrazor.{loss} on rows',
        f'{LOSSES}.loss_x & {loss}',
        with_loss,
        dict(type=f'mmrazor.{loss}'),
    )
add(
    'mmdet.DIoULoss on rows',
    f'{LOSSES}.loss_x & DIoULoss',
    with_loss,
    dict(type='mmdet.DIoULoss'),
)
mixup = dict(batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8)]))
add(
    'DKD of softened labels',
    f'{LOSSES}.loss_x & DKDLoss & mixup',
    with_loss,
    dict(type='luminet_mm.DKDLoss'),
    student=classifier(data_preprocessor=mixup),
)


# -------------------------------------------------------------------------- features
LAYERS = f'{LOSSES}.loss_x.layers'
FPN = [('neck', 'neck')]
STAGES = [('stages', 'stages')]
POOLED = [('pooled', 'pooled')]
NO_PLACE = "is no place & 'neck[:4]'"


def compare(loss, layers=None, family='classifier', batch=None, model=None, **settings):
    """A step with a loss of features; of another package where it is named so."""
    kind_of = loss if '.' in loss else f'luminet_mm.{loss}'
    layers = {} if layers is None else dict(layers=layers)
    loss = dict(type=kind_of, **layers, **settings)
    distil_with(loss, family=family, batch=batch, **(model or {}))


def three_stages():
    """A ResNet of three stages."""
    return classifier(
        backbone=dict(
            num_stages=3, out_indices=(2,), strides=(1, 2, 2), dilations=(1, 1, 1)
        ),
        head=dict(in_channels=32),
    )


def halved():
    """A ResNet whose maps have half the size and twice the channels."""
    return classifier(
        backbone=dict(base_channels=16, strides=(2, 2, 2, 2)),
        head=dict(in_channels=128),
    )


def vit(out_type='cls_token'):
    model = classifier(backbone=dict(init_cfg=None))
    model['backbone'] = dict(
        type='VisionTransformer',
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
        img_size=32,
        patch_size=8,
        out_type=out_type,
    )
    if out_type == 'cls_token':
        del model['neck']
    return {**model, 'head': dict(type='LinearClsHead', num_classes=5, in_channels=32)}


def grouped():
    return classifier(backbone=dict(norm_cfg=dict(type='GN', num_groups=4)))


def swin():
    model = classifier(backbone=dict(init_cfg=None))
    model['backbone'] = dict(
        type='SwinTransformer',
        arch=dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
        img_size=64,
        window_size=2,
        out_indices=(0, 1, 2, 3),
    )
    return {**model, 'head': dict(type='LinearClsHead', num_classes=5, in_channels=128)}


def timm_model():
    model = classifier()
    for part in ('backbone', 'neck', 'head'):
        del model[part]
    return {
        **model,
        'type': 'TimmClassifier',
        'model_name': 'resnet18',
        'num_classes': 5,
        'loss': dict(type='CrossEntropyLoss'),
    }


def checkpointed():
    return classifier(backbone=dict(with_cp=True))


def student_of(make, **changes):
    """A student and a teacher of one kind."""
    return dict(student=make(), teacher=make(), teacher_ckpt=weights(make), **changes)


def teacher_of(make):
    return dict(teacher=make(), teacher_ckpt=weights(make))


@doings.MODELS.register_module(force=True)
class ClassifierWithoutFeatures(BaseModel):
    """A model of one's own that has no ``extract_feat``."""

    def __init__(self, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.backbone = torch.nn.Conv2d(3, 5, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.backbone(inputs)


def without_features():
    return dict(
        type='luminet_mm.ClassifierWithoutFeatures',
        _scope_='mmpretrain',
        data_preprocessor=classifier()['data_preprocessor'],
    )


def numbered(batch, first=0):
    """Give each image of a batch its index in the data set."""
    for index, sample in enumerate(batch['data_samples']):
        sample.set_metainfo(dict(sample_idx=first + index))
    return batch


def overflowing(folder):
    """A student that starts from weights whose features overflow."""
    content = torch.load(weights())
    state = content['state_dict']
    content['state_dict'] = {
        k: v * 1e38 if 'bn' in k and 'weight' in k else v for k, v in state.items()
    }
    path = doings.file(folder, 'huge.pth', content)
    init_cfg = dict(type='Pretrained', checkpoint=path)
    compare('ATLoss', model=dict(student=classifier(init_cfg=init_cfg)))


def draw_features(folder):
    """Perceptions where no logits are compared."""
    model = dict(distill_losses=dict(loss_x=dict(type='luminet_mm.ATLoss')))
    doings.run_cfg(folder, model=model).dump(folder / 'config.py')
    tool('analysis_tools/draw_perception.py', 'config.py', weights())


add = kind('features')
for role, at_role in (('student', 0), ('teacher', 1)):
    for wrong, words in (
        ('nekc', "'neck'"),
        ('stage', "'stages'"),
        ('pool', "'pooled'"),
        ('preactivation', "'preactivations'"),
        ('layer2', ''),
        ('backbone.layer5', "'backbone.layer"),
        ('backbone.layer2.9', "'backbone.layer2"),
        ('model.backbone', "'backbone'"),
        ('student.neck', 'backbone, neck, head'),
        ('neck.input.input', "'neck"),
        ('roi_head', ''),
        ('neck.', "'neck'"),
        ('.neck', "'neck'"),
        ('', NO_PLACE),
        (' neck', NO_PLACE),
        ('neck[', NO_PLACE),
        ('neck]', NO_PLACE),
        ('neck[]', ''),
        ('neck[a]', ''),
        ('neck[0,1]', ''),
        ('neck[0][0]', NO_PLACE),
        ('neck(0)', NO_PLACE),
        ('neck[1:2:0]', ''),
        ('neck[1:2:3:4]', '[0] or [:4]'),
        ('neck[9]', 'no feature & is 1'),
        ('neck[-2]', 'no feature & is 1'),
        ('neck[:0]', 'no feature & is 1'),
        ('stages[4]', 'no feature & is 4'),
        ('head', 'backbone or neck'),
        ('head.fc', 'backbone or neck'),
    ):
        pair = ['neck', 'neck']
        pair[at_role] = wrong
        add(
            f'{role}: layers={wrong!r}',
            f'{LAYERS} & {role} & {wrong!r} & {words}',
            compare,
            'ATLoss',
            [tuple(pair)],
        )
add('a pair that is no list', f"{LAYERS} & pairs & 'neck'", compare, 'ATLoss', FPN[0])
add('a layer that never runs', LAYERS, compare, 'ATLoss', [('head', 'neck')])
for loss, layers in (
    ('RKDLoss', STAGES),
    ('CRDLoss', [('stages[3]', 'stages[3]')]),
):
    add(
        f'{loss} on maps',
        f'{LAYERS} & {loss} & vectors & student',
        compare,
        loss,
        layers,
    )
for loss in (
    'ATLoss',
    'CWDLoss',
    'FCFDLoss',
    'FGDLoss',
    'FGFILoss',
    'FitNetLoss',
    'MGDLoss',
    'OFDLoss',
    'PKDLoss',
):
    add(
        f'{loss} on vectors',
        f'{LAYERS} & {loss} & maps & student',
        compare,
        loss,
        POOLED,
    )
add(
    'vectors of the teacher alone',
    f'{LAYERS} & ATLoss & maps & teacher',
    compare,
    'ATLoss',
    [('stages[3]', 'pooled')],
)
for loss in ('CWDLoss', 'FGDLoss', 'PKDLoss', 'MGDLoss'):
    add(
        f'levels of different strides, {loss}',
        f'{LAYERS} & levels & stride',
        compare,
        loss,
        [('neck[0]', 'neck[1]')],
        'faster_rcnn',
    )
add(
    'levels of different strides, all of a RetinaNet',
    f'{LAYERS} & levels & stride',
    compare,
    'CWDLoss',
    family='faster_rcnn',
    model=teacher_of(doings.retinanet),
)
for loss in ('ATLoss', 'FCFDLoss', 'OFDLoss', 'ReviewKDLoss'):
    add(
        f'other stages, {loss}',
        f'{LAYERS} & 4 features & 3 of the teacher & pairs',
        compare,
        loss,
        model=teacher_of(three_stages),
    )
add(
    'maps of two sizes, OFDLoss',
    f'{LAYERS} & OFDLoss & one H and W',
    compare,
    'OFDLoss',
    model=teacher_of(halved),
)
add(
    'a map that must grow, FitNetLoss',
    f'{LAYERS} & FitNetLoss & enlarge',
    compare,
    'FitNetLoss',
    [('stages[3]', 'stages[0]')],
)
add(
    'maps of four times the size, FCFDLoss',
    f'{LAYERS} & FCFDLoss & twice the size',
    compare,
    'FCFDLoss',
    [('stages[0]', 'stages[2]'), ('stages[3]', 'stages[3]')],
)
add(
    'one stage, FCFDLoss',
    f'{LAYERS} & FCFDLoss & two stages',
    compare,
    'FCFDLoss',
    [('stages[3]', 'stages[3]')],
)
add(
    'more paths than there are, FCFDLoss',
    f'{LOSSES}.loss_x.num_paths=7 & 6',
    compare,
    'FCFDLoss',
    num_paths=7,
)
add(
    'stages out of order, FCFDLoss',
    f'{LOSSES}.loss_x & order',
    compare,
    'FCFDLoss',
    [('stages[3]', 'stages[3]'), ('stages[2]', 'stages[2]')],
)
add(
    'a stage that is no layer, FCFDLoss',
    f"{LOSSES}.loss_x & 'backbone.layer2.0' & 'backbone.layer2'",
    compare,
    'FCFDLoss',
    [('backbone.layer2.0', 'backbone.layer2.0'), ('stages[3]', 'stages[3]')],
)
add(
    'a detector, FCFDLoss',
    f'{LOSSES}.loss_x & FasterRCNN & classifiers',
    compare,
    'FCFDLoss',
    family='faster_rcnn',
)
add(
    'a Swin, FCFDLoss',
    f'{LOSSES}.loss_x & SwinTransformer & classifiers',
    compare,
    'FCFDLoss',
    [('stages[0]', 'stages[0]'), ('stages[1]', 'stages[1]')],
    batch=image_batch(size=64),
    model=student_of(swin),
)
add(
    'gradient checkpointing, FCFDLoss',
    f'{LOSSES}.loss_x & with_cp=True',
    compare,
    'FCFDLoss',
    model=student_of(checkpointed),
)
add(
    'a tap in gradient checkpointing',
    f'{LOSSES}.loss_x & layer2.0.conv1 & with_cp',
    compare,
    'ATLoss',
    [('backbone.layer2.0.conv1', 'backbone.layer2.0.conv1')],
    model=student_of(checkpointed),
)
add(
    'a frozen stage',
    f'{LOSSES}.loss_x & frozen_stages',
    compare,
    'ATLoss',
    [('stages[0]', 'stages[0]')],
    model=dict(student=classifier(backbone=dict(frozen_stages=2))),
)
add('features that overflow', f'{LOSSES}.loss_x & student & not finite', overflowing)
for loss in ('FGDLoss', 'FGFILoss'):
    settings_ = (
        {}
        if loss == 'FGDLoss'
        else dict(
            anchor_generator=dict(
                type='AnchorGenerator',
                scales=[8],
                ratios=[1.0],
                strides=[1, 2, 4, 8],
            )
        )
    )
    add(
        f'a classifier, {loss}',
        f'{LOSSES}.loss_x & {loss} & detectors',
        compare,
        loss,
        STAGES,
        **settings_,
    )
for strides, words in (
    ([4, 8, 16], '5'),
    ([8, 16, 32, 64, 128], '8 there'),
    ([64, 32, 16, 8, 4], '64 there'),
):
    add(
        f'strides {strides}, FGFILoss',
        f'{LOSSES}.loss_x.anchor_generator.strides & {words}',
        compare,
        'FGFILoss',
        family='faster_rcnn',
        anchor_generator=dict(
            type='AnchorGenerator', scales=[8], ratios=[1.0], strides=strides
        ),
    )
for wrong in (
    dict(type='AnchorGenerator'),
    dict(type='AnchorGenerator', scale=[8], ratios=[1.0], strides=[4]),
    dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5),
):
    add(
        f'anchor_generator={wrong}',
        f'{LOSSES}.loss_x.anchor_generator & AnchorGenerator',
        compare,
        'FGFILoss',
        family='faster_rcnn',
        anchor_generator=wrong,
    )
add(
    'no indices of images, CRDLoss', f'{LOSSES}.loss_x & sample_idx', compare, 'CRDLoss'
)
add(
    'two pairs, CRDLoss',
    f'{LAYERS} & CRDLoss & one pair',
    compare,
    'CRDLoss',
    POOLED * 2,
)
add(
    'softened labels, CRDLoss',
    f'{LOSSES}.loss_x & CRDLoss & mixup',
    compare,
    'CRDLoss',
    batch=numbered(image_batch()),
    model=dict(student=classifier(data_preprocessor=mixup)),
)
add(
    'a detector, CRDLoss',
    f'{LOSSES}.loss_x & CRDLoss & vectors',
    compare,
    'CRDLoss',
    [('neck[3]', 'neck[3]')],
    'faster_rcnn',
)
add(
    'num_samples too small, CRDLoss',
    f'{LOSSES}.loss_x.num_samples=8 & sample_idx 8 & training set',
    compare,
    'CRDLoss',
    batch=numbered(image_batch(), first=2),
    num_samples=8,
)
add(
    'num_samples too small, in a run',
    f'{LOSSES}.loss_x.num_samples=15 & training set',
    with_model,
    distill_losses=dict(loss_x=dict(type='luminet_mm.CRDLoss', num_samples=15)),
)
add(
    'one image in a batch, ReviewKDLoss',
    f'{LOSSES}.loss_x & ReviewKDLoss & batch of one',
    compare,
    'ReviewKDLoss',
    batch=image_batch(1),
)
for loss in ('RKDLoss', 'CWDLoss'):
    add(
        f'pooled features of a detector, {loss}',
        f"{LAYERS} & 'pooled' & FasterRCNN & classifier",
        compare,
        loss,
        POOLED,
        'faster_rcnn',
    )
for name, make in (('a ViT', vit), ('a Swin', swin)):
    for place in ('preactivations', 'preactivations[1]'):
        add(
            f'{place} of {name}',
            f"{LAYERS} & 'preactivations' & Transformer & modules & pair",
            compare,
            'OFDLoss',
            [(place, place)],
            model=student_of(make),
        )
add(
    'no batch normalisation, OFDLoss',
    f'{LAYERS} & OFDLoss & batch normalisation',
    compare,
    'OFDLoss',
    [('backbone.layer1', 'backbone.layer1')],
)
add(
    'group normalisation, OFDLoss',
    f'{LAYERS} & OFDLoss & batch normalisation',
    compare,
    'OFDLoss',
    model=student_of(grouped),
)
for place in ('stages', 'preactivations', 'pooled', 'backbone'):
    add(
        f'{place} of a model of timm',
        f'{LAYERS} & {place} & TimmClassifier',
        compare,
        'ATLoss',
        [(place, place)],
        model=dict(student=timm_model(), teacher=timm_model()),
    )
add(
    'a teacher without extract_feat',
    'model.teacher & ClassifierWithoutFeatures & features',
    compare,
    'ATLoss',
    [('stages', 'backbone')],
    model=teacher_of(without_features),
)
add(
    'a student without extract_feat',
    'model.student & ClassifierWithoutFeatures & features',
    compare,
    'ATLoss',
    [('backbone', 'stages')],
    model=dict(student=without_features()),
)
for layers in (None, STAGES):
    for losses in (['ATLoss'], ['ATLoss', 'KDLoss']):
        add(
            f'a mutual student, {" and ".join(losses)}, layers={layers}',
            f'{LOSSES}.loss_0 & ATLoss & MutualDistiller & LogitDistiller',
            distil,
            type='luminet_mm.MutualDistiller',
            distill_losses={
                f'loss_{i}': dict(type=f'luminet_mm.{loss}')
                for i, loss in enumerate(losses)
            },
        )
add(
    'a mutual student, a loss of mmrazor with layers',
    f'{LOSSES}.loss_x & L2Loss & MutualDistiller',
    distil,
    type='luminet_mm.MutualDistiller',
    distill_losses=dict(loss_x=dict(type='mmrazor.L2Loss', layers=STAGES)),
)
add(
    'two teachers',
    f'{LOSSES}.loss_x & features & 2 teachers & name one',
    compare,
    'ATLoss',
    model=dict(teacher=[classifier()] * 2, teacher_ckpt=[weights()] * 2),
)
for loss in ('luminet_mm.ATLoss', 'mmrazor.ChannelWiseDivergence'):
    add(
        f'compares beside {loss}',
        f"{LOSSES}.loss_x.compares='logits' & layers & {loss.split('.')[1]}",
        compare,
        loss,
        STAGES,
        compares='logits',
    )
for loss in ('KDLoss', 'DKDLoss', 'LuminetLoss', 'DISTLoss', 'BoxLoss'):
    add(
        f'layers beside {loss}',
        f'{LOSSES}.loss_x & {loss} & rows',
        compare,
        loss,
        STAGES,
    )
for loss in ('ChannelWiseDivergence', 'MGDLoss', 'PKDLoss'):
    add(
        f'mmrazor.{loss} without layers',
        f'{LOSSES}.loss_x & {loss} & layers',
        compare,
        f'mmrazor.{loss}',
    )
for loss in (
    'ActivationLoss',
    'CRDLoss',
    'DAFLLoss',
    'DKDLoss',
    'FBKDLoss',
    'InformationEntropyLoss',
    'OnehotLikeLoss',
    'WSLD',
):
    add(
        f'mmrazor.{loss} with layers',
        f'{LOSSES}.loss_x & {loss}',
        compare,
        f'mmrazor.{loss}',
        STAGES,
    )
for layers in ([], ['neck'], 'neck', [('neck', 0)], [('neck',)], 5):
    add(
        f'mmrazor.L2Loss with layers={layers!r}',
        f'{LAYERS} & pairs',
        compare,
        'mmrazor.L2Loss',
        layers,
    )
add(
    'maps of two sizes, mmrazor.L2Loss',
    f'{LOSSES}.loss_x & L2Loss & (8, 8, 32, 32) & (8, 16, 16, 16)',
    compare,
    'mmrazor.L2Loss',
    model=teacher_of(halved),
    layers=STAGES,
)
add(
    'a misspelt layers beside a loss of mmrazor',
    f"{LOSSES}.loss_x & 'layer' & 'layers'",
    compare,
    'mmrazor.ChannelWiseDivergence',
    layer=STAGES,
)
for loss, right in (
    ('FeatureLoss', ''),
    ('FitnetLoss', 'FitNetLoss'),
    ('ReviewKD', 'ReviewKDLoss'),
    ('ABLoss', ''),
):
    add(
        f'the loss {loss}',
        f'{LOSSES}.loss_x.type & luminet_mm.{loss} & {right}',
        compare,
        loss,
    )
for setting, value, words in (
    ('stop_epoch', 0, 'at least 1'),
    ('stop_epoch', 3, 'model.warmup=5'),
    ('stop_iter', 0, 'at least 1'),
    ('stop_iter', 3, 'model.warmup=5'),
):
    add(
        f'{setting}={value}',
        f'model.{setting}={value} & {words}',
        compare,
        'ATLoss',
        model={
            setting: value,
            'warmup': 5,
            'warmup_by_epoch': setting == 'stop_epoch',
        },
    )
add(
    'stop_iter in the epoch of the warm-up',
    'model.stop_iter=4 & model.warmup=2',
    with_model,
    warmup=2,
    stop_iter=4,
)
add(
    'stop_epoch in the iterations of the warm-up',
    'model.stop_epoch=1 & model.warmup=6',
    with_model,
    warmup=6,
    warmup_by_epoch=False,
    stop_epoch=1,
)


def concatenated(folder):
    """Two data sets whose images have the same indices."""
    crd = dict(type='luminet_mm.CRDLoss', num_samples=32, num_negatives=8)
    dataset = doings.run_cfg(folder).train_dataloader.dataset
    together = dict(_delete_=True, type='ConcatDataset', datasets=[dataset, dataset])
    hook = dict(type='luminet_mm.ZeroLossHook')
    cfg = doings.run_cfg(
        folder, model=dict(distill_losses=dict(loss_x=crd)), custom_hooks=[hook]
    )
    cfg.merge_from_dict(dict(train_dataloader=dict(dataset=together)))
    cfg.dump(folder / 'config.py')
    tool('train.py', folder / 'config.py')


for layers in (
    [('pooled', 'pooled'), ('stages', 'stages')],
    [(f'stages[{i}]', f'stages[{i}]') for i in (3, 2, 1)],
):
    add(
        f'from the deepest on, ReviewKDLoss, {layers}',
        f'{LAYERS} & ReviewKDLoss & shallowest & order',
        compare,
        'ReviewKDLoss',
        layers,
    )
add(
    'maps before their ReLU, FCFDLoss',
    f"{LOSSES}.loss_x & 'backbone.layer1.1.relu' & 'backbone.layer1'",
    compare,
    'FCFDLoss',
    [('preactivations', 'preactivations')],
)
add(
    'what KDLoss leaves over in ATLoss',
    f"{LOSSES}.loss_x & 'tau' & _delete_",
    compare,
    'ATLoss',
    tau=4.0,
)
add(
    'draw_perception.py of features alone',
    'model.distill_losses & features & logits',
    draw_features,
)
add = kind('features worth a warning', 'warning')
add(
    'batches of one, RKDLoss',
    'RKDLoss & a batch of one',
    compare,
    'RKDLoss',
    batch=image_batch(1),
)
add(
    'one frozen stage of four',
    f'{LAYERS} & 1 of the 4 & frozen_stages',
    compare,
    'ATLoss',
    model=dict(student=classifier(backbone=dict(frozen_stages=1))),
)
add(
    'two data sets, CRDLoss',
    f'{LOSSES}.loss_x.num_samples=32 & ConcatDataset',
    concatenated,
)
add(
    'num_samples too large, CRDLoss',
    f'{LOSSES}.loss_x.num_samples=50000 & 16 images',
    train,
    model=dict(distill_losses=dict(loss_x=dict(type='luminet_mm.CRDLoss'))),
    custom_hooks=[dict(type='luminet_mm.ZeroLossHook')],
)
for setting, value, length in (('stop_epoch', 3, 2), ('stop_iter', 9, 8)):
    add(
        f'{setting} beyond the run',
        f'model.{setting}={value} & run of {length}',
        with_model,
        **{setting: value},
    )
add(
    'pictures of a classifier without logits',
    'DistillVisualizationHook & nothing & features',
    train,
    model=dict(distill_losses=dict(loss_x=dict(type='luminet_mm.ATLoss'))),
    custom_hooks=[dict(type='luminet_mm.DistillVisualizationHook')],
)
add(
    'a loss of features that is always zero',
    'loss_x & zero',
    train,
    model=dict(
        distill_losses=dict(loss_x=dict(type='luminet_mm.ATLoss', loss_weight=0.0))
    ),
    custom_hooks=[dict(type='luminet_mm.ZeroLossHook', interval=1)],
)


def other_losses(folder, losses, again, **changes):
    """Resume a run with other losses, whose connectors differ; nothing is lost."""
    model = teacher_of(halved)
    train(folder, model=dict(model, distill_losses=losses), **changes)
    run = folder / 'run'
    kept = doings.keeping(
        run / 'epoch_1.pth', run / 'epoch_2.pth', run / 'last_checkpoint'
    )
    with kept:
        train(
            folder,
            '--resume',
            model=dict(model, distill_losses=again),
            train_cfg=dict(max_epochs=3),
        )


FITNET = dict(type='luminet_mm.FitNetLoss')
REVIEW = dict(type='luminet_mm.ReviewKDLoss')
CRD = dict(type='luminet_mm.CRDLoss', num_samples=16, num_negatives=8)
add = kind('features')
for name, losses, again in (
    ('another loss', dict(loss_x=FITNET), dict(loss_x=REVIEW)),
    ('another layer', dict(loss_x=FITNET), dict(loss_x=dict(FITNET, layers=STAGES))),
    ('another name', dict(loss_x=FITNET), dict(loss_y=FITNET)),
    ('a loss more', dict(loss_x=KD), dict(loss_x=KD, loss_y=FITNET)),
    ('a loss less', dict(loss_x=KD, loss_y=FITNET), dict(loss_x=KD)),
    ('more negatives', dict(loss_x=CRD), dict(loss_x=dict(CRD, num_samples=17))),
):
    add(
        f'--resume with {name}',
        'resume & epoch_2.pth & distill_losses.loss_ & tensors',
        other_losses,
        losses=losses,
        again=again,
    )


# What is right must neither be refused nor warned of, but by upstream of itself
OF_ITSELF = ('default scope', 'deprecated', 'use_reentrant')


def quietly(do, *args, **kwargs):
    """What this project warns of is wrong."""
    from campaign import recorded  # which imports this module

    said = []
    with recorded(said):
        do(*args, **kwargs)
    said = [text for text in said if not any(word in text for word in OF_ITSELF)]
    assert not said, said


def compare_quietly(loss, *args, **kwargs):
    quietly(compare, loss, *args, **kwargs)


def train_quietly(folder, **changes):
    quietly(train, folder, **changes)


def tested(folder, loss, by_student):
    """Train a detector, and test its checkpoint by one config or the other."""
    losses = dict(loss_x=dict(type=f'luminet_mm.{loss}'), loss_kd=KD)
    model = dict(distill_losses=losses)
    train(folder, family='faster_rcnn', model=model, train_cfg=dict(max_epochs=1))
    cfg = doings.run_cfg(folder, family='faster_rcnn', model=model)
    if by_student:
        cfg.model = load_model_cfg(faster_rcnn(), 'model')
    cfg.dump(folder / 'test.py')
    tool('test.py', folder / 'test.py', folder / 'run' / 'epoch_1.pth')


def without_boxes():
    batch = doings.FAMILIES['faster_rcnn'][1]()
    for sample in batch['data_samples'][1:]:
        sample.gt_instances = sample.gt_instances[:0]
    return batch


add = kind('features that must work', 'works')
RETINANET_ANCHORS = dict(
    type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[8, 16, 32, 64, 128]
)
for name, cls in members(registry.MODELS, 'losses.features').items():
    of_detectors = cls.default_layers[0][0].startswith('neck')
    settings_ = dict(num_samples=8) if name == 'CRDLoss' else {}
    for family in ('faster_rcnn', 'retinanet') if of_detectors else ('classifier',):
        if family == 'retinanet' and name == 'FGFILoss':
            settings_ = dict(anchor_generator=RETINANET_ANCHORS)
        batch = None if of_detectors else numbered(image_batch())
        title = f'{name} as it is, {family}'
        add(title, '', compare_quietly, name, None, family, batch, **settings_)
for loss in ('CWDLoss', 'FGDLoss', 'FGFILoss', 'MGDLoss', 'PKDLoss'):
    one = loss != 'FGFILoss'
    layers = [('neck[1]', 'neck[1]')] if one else None
    add(
        f'{loss} of {"one level" if one else "images without boxes"}',
        '',
        compare,
        loss,
        layers,
        'faster_rcnn',
        without_boxes(),
    )
add(
    'maps of a ViT, whose images have one size',
    '',
    compare_quietly,
    'CWDLoss',
    [('stages[3]', 'backbone')],
    model=teacher_of(partial(vit, 'featmap')),
)
add(
    'layers of a model of timm',
    '',
    compare_quietly,
    'ATLoss',
    [('model.layer1', 'model.layer1')],
    model=student_of(timm_model),
)
add(
    'stages behind a frozen one',
    '',
    compare_quietly,
    'ATLoss',
    [('stages[1:]', 'stages[1:]')],
    model=dict(student=classifier(backbone=dict(frozen_stages=1))),
)
add(
    'stages of gradient checkpointing',
    '',
    compare_quietly,
    'ATLoss',
    model=student_of(checkpointed),
)
for loss in ('RKDLoss', 'ReviewKDLoss'):
    add(f'two images, {loss}', '', compare_quietly, loss, batch=image_batch(2))
for loss in ('ATLoss', 'RKDLoss', 'FCFDLoss'):
    add(
        f'softened labels, {loss}',
        '',
        compare_quietly,
        loss,
        model=dict(student=classifier(data_preprocessor=mixup)),
    )
for loss in ('ChannelWiseDivergence', 'L1Loss', 'ABLoss', 'KLDivergence', 'ATLoss'):
    for family, layers in (('classifier', STAGES), ('faster_rcnn', FPN)):
        add(
            f'mmrazor.{loss}, {family}',
            '',
            compare_quietly,
            f'mmrazor.{loss}',
            layers,
            family,
        )
AT = dict(loss_x=dict(type='luminet_mm.ATLoss'))
for ends in (
    dict(stop_epoch=2),
    dict(stop_epoch=1, warmup=1),
    dict(stop_iter=8),
    dict(stop_iter=4, warmup=1),
    dict(stop_iter=5, warmup=2),
    dict(stop_epoch=1, warmup=4, warmup_by_epoch=False),
    dict(stop_epoch=1, stop_iter=5),
):
    add(
        f'an end, {ends}',
        '',
        train_quietly,
        model=dict(ends, distill_losses=dict(AT, loss_kd=KD, loss_y=FITNET)),
        custom_hooks=[dict(type='luminet_mm.ZeroLossHook', interval=1)],
    )
add(
    'the memory of CRD',
    '',
    train_quietly,
    model=dict(distill_losses=dict(loss_x=CRD)),
    custom_hooks=[dict(type='luminet_mm.ZeroLossHook', interval=1)],
)
add(
    'pictures of logits beside features',
    '',
    train_quietly,
    model=dict(distill_losses=dict(AT, loss_kd=KD)),
    custom_hooks=[dict(type='luminet_mm.DistillVisualizationHook')],
)
add(
    'EMA of connectors',
    '',
    train_quietly,
    model=dict(distill_losses=dict(loss_x=dict(type='luminet_mm.OFDLoss'))),
    custom_hooks=[dict(type='EMAHook', momentum=0.1)],
)
for by_student, name in ((True, "the student's config"), (False, 'its own config')):
    add(f'test.py with connectors, {name}', '', tested, 'MGDLoss', by_student)

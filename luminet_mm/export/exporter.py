import os
import os.path as osp
import tempfile
import warnings
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import nn

from ..checks import check_number
from . import onnx, plain, torchscript
from .checking import check_classifier, check_detector, random_images
from .graphs import ClassifierGraph, build_graph
from .model_card import example_of, model_card, sha256_of
from .shapes import shape_of, steps_of
from .student import Student, load_student

FORMATS = dict(onnx=onnx, torchscript=torchscript, plain=plain)


def export(
    config: str,
    ckpt: str,
    out: Optional[str] = None,
    format: Optional[str] = None,
    shape: Optional[Sequence[int]] = None,
    batch_size: Optional[int] = None,
    without_ema: bool = False,
    force: bool = False,
    cfg_options: Optional[Dict[str, Any]] = None,
    command: Optional[str] = None,
) -> List[str]:
    """Export a student, check the file against the model, and write a model card.

    A graph takes RGB images of 8 bits and holds channel order, normalisation and
    padding; of a detector also decoding and suppression.

    Args:
        config (str): Config of the student or of its distillation.
        ckpt (str): Checkpoint of the student.
        out (str, optional): The file. Defaults to None, the checkpoint's name with the
            format's suffix.
        format (str, optional): 'onnx', 'torchscript', or 'plain' for a config and a
            checkpoint that upstream's tools take. Defaults to None, by the suffix of
            ``out``, and else 'onnx'.
        shape (Sequence[int], optional): Height and width of images, or one number for
            both. Defaults to None, as the config's pipeline of testing has it.
        batch_size (int, optional): Number of images of a classifier's graph. Defaults
            to None, any. A detector's takes one.
        without_ema (bool): Export the weights that were trained where the run averaged
            them. Defaults to False, the average, which the run validates.
        force (bool): Whether files that exist are overwritten. Defaults to False.
        cfg_options (dict, optional): Settings of the config to override. Defaults to
            None.
        command (str, optional): For the model card. Defaults to None.

    Returns:
        list[str]: The files that were written; the model card is the last.

    Raises:
        ValueError: If the input is wrong, the model cannot be exported, or the file
            does not compute what the model does. Nothing is left behind then, and a
            file that was there is as it was.
    """
    format, out = _format_and_file(format, out, ckpt)
    writer = FORMATS[format]
    files = [out, f'{out}.md']
    if writer is plain:
        files.insert(1, f'{osp.splitext(out)[0]}.py')
    else:
        writer.check_installed()
    _check_free(files, force, (config, ckpt))
    student = load_student(config, ckpt, cfg_options, without_ema)
    shape = _shape(shape, student, needed=writer is not plain)
    try:
        folder = osp.dirname(osp.abspath(out))
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix='unfinished-export-', dir=folder
        ) as new:
            made = [osp.join(new, osp.basename(path)) for path in files]
            if writer is plain:
                card = _write_plain(student, made, shape, command)
            else:
                card = _write_graph(
                    student, made[0], format, shape, batch_size, command
                )
            with open(made[-1], 'w', encoding='utf-8') as file:
                file.write(card)
            _check_free(files, force, (config, ckpt))  # made in the meantime
            for path, target in zip(made, files):
                os.replace(path, target)
    except OSError as error:
        raise ValueError(f'--out {out} cannot be written: {error}') from error
    return files


def _format_and_file(
    format: Optional[str], out: Optional[str], ckpt: str
) -> Tuple[str, str]:
    by_suffix = {module.SUFFIX: name for name, module in FORMATS.items()}
    suffix = osp.splitext(out)[1] if out else None
    if format is None:
        format = by_suffix.get(suffix, 'onnx')
    if format not in FORMATS:
        raise ValueError(f'--format {format} is none of {", ".join(FORMATS)}')
    right = FORMATS[format].SUFFIX
    if out is None:
        stem = osp.splitext(osp.basename(ckpt) if '://' in ckpt else ckpt)[0]
        out = f'{stem}-plain{right}' if format == 'plain' else stem + right
    elif suffix != right:
        raise ValueError(
            f'--out {out}: a file of --format {format} ends in {right}, and '
            + ', '.join(f'{end} is {name}' for end, name in by_suffix.items())
        )
    return format, out


def _check_free(files: List[str], force: bool, inputs: Tuple[str, ...]) -> None:
    for path in files:
        if osp.isdir(path):
            raise ValueError(f'{path} is a folder; name a file with --out')
        if any(osp.abspath(path) == osp.abspath(each) for each in inputs):
            raise ValueError(
                f'{path} is what is exported; name another file with --out'
            )
        if osp.lexists(path) and not force:
            raise ValueError(
                f'{path} exists and is not overwritten; name another file with --out, '
                'or give --force'
            )


def _shape(
    shape: Optional[Sequence[int]], student: Student, needed: bool
) -> Optional[Tuple[int, int]]:
    if shape is None:
        found = shape_of(student.pipeline)
        if found is None and needed:
            raise ValueError(
                f'{student.config} does not say how large images are in testing; give '
                'their height and width, e.g. --shape 32 32'
            )
        return found
    for side in shape:
        check_number('--shape', side, at_least=1, integer=True)
    if len(shape) > 2:
        raise ValueError(f'--shape {" ".join(map(str, shape))}: give height and width')
    return (shape[0], shape[-1])


def _write_plain(
    student: Student,
    files: List[str],
    shape: Optional[Tuple[int, int]],
    command: Optional[str],
) -> str:
    ckpt, config, _ = files
    plain.write(student, ckpt, config)
    model = plain.read(ckpt, config)
    pixels = random_images(1, shape or (224, 224), 0).float() / 255
    with torch.no_grad():
        own, other = student.model.extract_feat(pixels), model.extract_feat(pixels)
    if not all(torch.equal(a, b) for a, b in zip(_flat(own), _flat(other))):
        raise ValueError(
            'the model that the written config builds gives other features; nothing '
            'was kept'
        )
    what = [
        f'the plain student for upstream: config `{osp.basename(config)}` and weights '
        f'`{osp.basename(ckpt)}` (sha256 `{sha256_of(ckpt)}`), as mmdet, mmpretrain '
        'and mmdeploy take them',
    ]
    return model_card(
        student,
        osp.basename(ckpt),
        what,
        '',
        'All weights load strictly into the model that the config builds, and it gives '
        'the same features.',
        command,
    )


def _flat(features: Any) -> list:
    return list(features) if isinstance(features, (list, tuple)) else [features]


def _write_graph(
    student: Student,
    path: str,
    format: str,
    shape: Tuple[int, int],
    batch_size: Optional[int],
    command: Optional[str],
) -> str:
    writer = FORMATS[format]
    graph = build_graph(student, shape)
    is_classifier = isinstance(graph, ClassifierGraph)
    if batch_size is not None:
        check_number('--batch-size', batch_size, at_least=1, integer=True)
        if not is_classifier and batch_size != 1:
            raise ValueError(
                f'--batch-size {batch_size}: the graph of a detector takes one image'
            )
    # more than one: what a trace makes of a batch of one may hold for that alone
    size = (batch_size or 2) if is_classifier else 1
    images = random_images(size, shape, seed=7)
    metadata = dict(task=graph.task, input='RGB, uint8, 0 to 255')
    if student.classes:
        metadata['classes'] = student.classes
    with warnings.catch_warnings():
        # of branches and constants: what they may spoil is looked at below
        warnings.simplefilter('ignore')
        trace = _trace(graph, images, student)
        writer.write(
            trace, graph, images, path, metadata, is_classifier and not batch_size
        )
    what = [
        f'{graph.task}, {format}, {osp.getsize(path) / 1e6:.1f} MB, sha256 '
        f'`{sha256_of(path)}`'
    ]
    number = 'N' if is_classifier and not batch_size else size
    what.append(
        f'in: `images`, uint8, shape ({number}, 3, {shape[0]}, {shape[1]}), RGB from 0 '
        'to 255; channel order, normalisation and padding are in the graph'
    )
    steps = steps_of(student.pipeline)
    if steps:
        what.append(f'in testing images are brought to size by `{", ".join(steps)}`')
    if is_classifier:
        sizes = [batch_size] if batch_size else [size, 1, 3]
        worst = check_classifier(graph, writer.load(path), shape, sizes)
        activation = graph.activation(images)
        scores = f'; their {activation} is the score' if activation else ''
        num_classes = graph.own(images)[0].shape[1]
        what.append(f'out: `logits`, float32, shape ({number}, {num_classes}){scores}')
        checked = f'Logits of random images equal those of the model to {worst:.1g}.'
    else:
        worst, count, lacking = check_detector(
            graph, lambda score_thr: writer.load(path, score_thr), shape
        )
        what += [
            'out: `boxes`, float32, shape (n, 4), x and y of two corners in pixels of '
            'the input; `scores`, float32, and `labels`, int64, shape (n,), surest '
            'first',
            f'score threshold {float(graph.score_thr):g}, suppression is in the graph',
        ]
        checked = (
            f'{count} boxes of random images, with scores and labels, equal those of '
            f'the model to {worst:.1g} (boxes: of the longer side of the image)'
            + (f', but for {lacking}.' if lacking else '.')
        )
    name = osp.basename(path)
    example = example_of(format, name, (size, 3, *shape), graph.outputs)
    return model_card(student, name, what, example, checked, command)


def _trace(
    graph: nn.Module, images: torch.Tensor, student: Student
) -> torch.jit.ScriptModule:
    """Trace a graph.

    Raises:
        ValueError: If the model does not run, or computes by an operator of Python.
    """
    try:
        with torch.no_grad():
            trace = torch.jit.trace(graph, (images,), check_trace=False)
    except ValueError:
        raise
    except Exception as error:  # of any model
        raise ValueError(
            f'{student.config} cannot be traced on images of {tuple(images.shape)}: '
            f'{type(error).__name__}: {error}'
        ) from error
    nodes = trace.inlined_graph  # which must outlive its nodes
    names = sorted({node.pyname() for node in nodes.findAllNodes('prim::PythonOp')})
    if names:
        raise ValueError(
            f'the operator {", ".join(names)} is neither of ONNX nor of TorchScript; '
            "take --format plain, for which upstream's deploy tools have operators of "
            'their own'
        )
    return trace

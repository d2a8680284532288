"""ONNX files: how they are written, and how they are run to be checked."""

import inspect
import json
import re
from importlib.util import find_spec
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import torch
from torch import Tensor, nn

SUFFIX = '.onnx'
OPSET = 17  # the newest that torch 2.1 writes
LARGEST = 2**31  # bytes of a file of protocol buffers


def check_installed() -> None:
    """Check for what writes and runs ONNX.

    Raises:
        ValueError: If a package is missing, with the command that installs it.
    """
    missing = [name for name in ('onnx', 'onnxruntime') if find_spec(name) is None]
    if missing:
        raise ValueError(
            f'--format onnx needs {" and ".join(missing)}: pip install '
            f'{" ".join(missing)}; or take --format torchscript'
        )


def write(
    trace: torch.jit.ScriptModule,
    graph: nn.Module,
    images: Tensor,
    path: str,
    metadata: Dict[str, Any],
    is_dynamic: bool,
) -> None:
    """Write a trace as ONNX.

    Args:
        trace (ScriptModule): Trace of the graph.
        graph (Module): The graph, see :mod:`luminet_mm.export.graphs`.
        images (Tensor): What it was traced with.
        path (str): The file.
        metadata (dict): What the file says of itself.
        is_dynamic (bool): Whether any number of images can be given.

    Raises:
        ValueError: Naming an operator that ONNX has not, or a model that is too large.
    """
    import onnx

    size = sum(p.numel() * p.element_size() for p in graph.parameters())
    if size >= LARGEST:
        raise ValueError(
            f'the weights have {size / 1e9:.1f} GB, and an ONNX file holds 2.1; take '
            '--format torchscript'
        )
    if graph.outputs == ('logits',):
        axes = dict(images={0: 'N'}, logits={0: 'N'}) if is_dynamic else {}
    else:
        axes = {name: {0: 'n'} for name in graph.outputs}
    kwargs = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        kwargs['dynamo'] = False  # torch's newer exporter does not take traces
    try:
        torch.onnx.export(
            trace,
            (images,),
            path,
            opset_version=OPSET,
            input_names=['images'],
            output_names=list(graph.outputs),
            dynamic_axes=axes,
            **kwargs,
        )
    except (RuntimeError, ValueError) as error:  # torch's own come from either
        named = re.search(r"operator '?([\w:]+)'?", str(error))
        what = (
            f'the operator {named[1]}' if named else str(error).strip().split('\n')[0]
        )
        raise ValueError(
            f'ONNX (opset {OPSET}) has not what the model computes: {what}; take '
            '--format torchscript'
        ) from error
    model = onnx.load(path)
    foreign = {
        f'{node.domain}::{node.op_type}'
        for node in model.graph.node
        if node.domain not in ('', 'ai.onnx')
    }
    if foreign:
        raise ValueError(
            f'the operator {", ".join(sorted(foreign))} is not of ONNX; take --format '
            'torchscript'
        )
    for key, value in metadata.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=key, value=text)
    onnx.save(model, path)


def load(path: str, score_thr: Optional[float] = None) -> Callable:
    """Make a file run in onnxruntime, on the CPU.

    Args:
        path (str): The file.
        score_thr (float, optional): In place of the file's threshold of scores.
            Defaults to None.

    Returns:
        Callable: Takes images, gives a list of tensors.

    Raises:
        ValueError: If it has no threshold that can be changed.
    """
    import onnx
    import onnxruntime

    model = onnx.load(path)
    if score_thr is not None:
        held = [each for each in model.graph.initializer if each.name == 'score_thr']
        if not held:
            raise ValueError('its threshold of scores cannot be lowered')
        value = onnx.numpy_helper.from_array(np.array(score_thr, np.float32))
        held[0].raw_data = value.raw_data
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider']
    )

    def run(images: Tensor) -> List[Tensor]:
        found = session.run(None, dict(images=images.numpy()))
        return [torch.from_numpy(each) for each in found]

    return run

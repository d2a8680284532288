"""Losses, forward and backward.

Each loss is called as its users call it, as a module, and its gradient is taken with
respect to the student's logits, float32, of the shape (samples, classes). `plain` is
LuminetLoss without an operator of its own, and `textbook` the paper's formula written
down in torch. Temperatures are 1. On a GPU, `launches` are those of one call.
"""

import argparse
from typing import Callable, Dict, List, Tuple

import torch
import torch.nn.functional as F
from timing import (
    count_launches,
    measure,
    parser,
    print_heading,
    print_table,
    write_json,
)
from torch import Tensor

from luminet_mm.compat import enable_mmrazor
from luminet_mm.losses import DKDLoss, KDLoss, LuminetLoss, fused

Loss = Callable[[Tensor, Tensor], Tensor]

SHAPES = [(64, 100), (512, 1000), (1024, 81), (4096, 81), (1024, 1204)]


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, runs=21)
    options.add_argument(
        '--shapes',
        nargs='+',
        default=['x'.join(map(str, shape)) for shape in SHAPES],
        help='samples x classes, e.g. 64x100',
    )
    return options.parse_args()


def textbook(preds_S: Tensor, preds_T: Tensor, eps: float = 1e-5) -> Tensor:
    """Eqs. 3 and 4 of the paper, one operation after the other."""
    h_S, h_T = (
        (z - z.mean(dim=0)) / torch.sqrt(z.var(dim=0, unbiased=False) + eps)
        for z in (preds_S, preds_T)
    )
    p_S, p_T = F.softmax(h_S, dim=1), F.softmax(h_T, dim=1)
    return (p_T * torch.log(p_T / p_S)).sum(dim=1).mean()


def plain(loss: LuminetLoss) -> Loss:
    """The loss as it is where there is no operator for it."""

    def call(preds_S: Tensor, preds_T: Tensor) -> Tensor:
        devices, fused.DEVICES = fused.DEVICES, {}
        try:
            return loss(preds_S, preds_T)
        finally:
            fused.DEVICES = devices

    return call


def contenders(labels: Tensor) -> Dict[str, Loss]:
    """Losses by name."""
    dkd = DKDLoss(tau=1.0)
    return {
        'LuminetLoss': LuminetLoss(),
        'plain': plain(LuminetLoss()),
        'textbook': textbook,
        'KDLoss': KDLoss(tau=1.0),
        'DKDLoss': lambda preds_S, preds_T: dkd(preds_S, preds_T, labels),
        **mmrazor_losses(labels),
        **torchdistill_losses(),
    }


def mmrazor_losses(labels: Tensor) -> Dict[str, Loss]:
    """mmrazor's, if it is installed."""
    try:
        enable_mmrazor()
        from mmrazor.models import losses
    except ImportError:
        return {}
    dkd = losses.DKDLoss(tau=1.0)
    return {
        'mmrazor.KLDivergence': losses.KLDivergence(tau=1.0),
        'mmrazor.DKDLoss': lambda preds_S, preds_T: dkd(preds_S, preds_T, labels),
    }


def torchdistill_losses() -> Dict[str, Loss]:
    """torchdistill's, if it is installed; they look up what its hooks recorded."""
    try:
        from torchdistill.losses import mid_level
    except ImportError:
        return {}

    def by_path(module: type, **settings: float) -> Loss:
        loss = module('head', 'output', 'head', 'output', **settings)
        return lambda preds_S, preds_T: loss(
            {'head': {'output': preds_S}}, {'head': {'output': preds_T}}
        )

    return {
        'torchdistill.KDLoss': by_path(mid_level.KDLoss, temperature=1.0, alpha=0.0),
        'torchdistill.DISTLoss': by_path(mid_level.DISTLoss, tau=1.0),
    }


def run_shape(
    args: argparse.Namespace, shape: List[int]
) -> Tuple[Dict[str, List[float]], Dict[str, int]]:
    """Milliseconds of a forward and a backward of every loss, and its launches."""
    torch.manual_seed(0)
    preds_S, preds_T = 3 * torch.randn(2, *shape, device=args.device)
    preds_S.requires_grad_()
    labels = torch.randint(shape[1], shape[:1], device=args.device)

    def step(loss: Loss) -> Callable[[], None]:
        def call() -> None:
            preds_S.grad = None
            loss(preds_S, preds_T).backward()

        return call

    calls = {name: step(loss) for name, loss in contenders(labels).items()}
    for call in calls.values():
        call()
    repeats = min(max(1, 400_000 // (shape[0] * shape[1])), 50)
    launches = {name: count_launches(call) for name, call in calls.items()}
    return measure(calls, args.device, args.runs, repeats), launches


def main() -> None:
    args = parse_args()
    print_heading(__doc__, args.device)
    results, counts = {}, {}
    for shape in args.shapes:
        times, launches = run_shape(args, [int(side) for side in shape.split('x')])
        results[shape], counts[shape] = times, launches
        print(f'{shape}:\n')
        baselines = ['mmrazor.KLDivergence', 'textbook']
        cells = {name: str(count) for name, count in launches.items()}
        extra = dict(launches=cells) if any(launches.values()) else {}
        print_table(times, [name for name in baselines if name in times], extra)
        print()
    write_json(args.json, args.device, dict(milliseconds=results, launches=counts))


if __name__ == '__main__':
    main()

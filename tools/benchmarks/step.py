"""Training steps of a two-stage detector that is distilled.

Forward, backward and SGD of one batch. `floor` is the least that distillation can
cost: the student's own step, and one bare forward of the teacher's backbone, neck and
RoI head as `eval()` leaves them. `teacher's loss` runs the whole teacher on the ground
truth instead, as mmrazor's SingleTeacherDistill does, of which a real one is beside
it; `student's RoI head twice` gets the student's logits by another pass over its RoIs.
With `--memory`, what three steps in a process of its own need at most beside the
weights of all models (on a CPU, of all that the process holds). `teacher alone` is
that bare forward. With `--dtype`, all forwards run in autocast to it, their losses
unscaled. Weights and images are random.
"""

import argparse
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Callable, Dict, Iterator

import torch
from memory import print_peaks, read_peaks
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from models import add_batch_options, build_model, optimizer, random_batch
from timing import measure, parser, print_heading, print_table, write_json

from luminet_mm.compat import enable_mmrazor
from luminet_mm.losses import KDLoss
from luminet_mm.registry import MODELS

PARTS = ('student alone', 'teacher alone')  # the others are compared with none of them


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, runs=7)
    options.add_argument(
        '--config',
        default='configs/coco/frcnn_r101_r18_luminet.py',
        help='of a two-stage detector (default: %(default)s)',
    )
    add_batch_options(options)
    options.add_argument(
        '--memory', action='store_true', help='measure peak memory, too'
    )
    options.add_argument(
        '--only', help='three steps of this one, and their peak memory'
    )
    options.add_argument(
        '--profile', help='three steps of this one, and where their time goes'
    )
    options.add_argument(
        '--dtype',
        choices=('float32', 'float16', 'bfloat16'),
        default='float32',
        help='what autocast computes in (default: float32, without it)',
    )
    return options.parse_args()


def contenders(args: argparse.Namespace) -> Dict[str, Callable[[], object]]:
    """Functions that take a step, by name."""
    distiller = build_model(args.config, args.device)
    student, source = distiller.student, distiller.source
    batch = distiller.data_preprocessor(
        random_batch(distiller, args.batch_size, *args.size), True
    )
    (frozen,) = distiller.teachers
    teacher = frozen.model
    inputs = frozen.prepare_inputs(**batch)
    kd = KDLoss(tau=1.0)
    with torch.no_grad(), source.observe(student, batch['data_samples']) as rows:
        student(**batch, mode='loss')

    @torch.no_grad()
    def teach() -> None:
        source.teach(teacher, inputs, rows)

    def floor() -> dict:
        losses = student(**batch, mode='loss')
        teach()
        return losses

    def teacher_loss() -> dict:
        losses = student(**batch, mode='loss')
        with torch.no_grad():
            teacher(inputs, batch['data_samples'], mode='loss')
        return losses

    def twice() -> dict:
        with source.observe(student, batch['data_samples']) as rows:
            with outputs(student.neck) as feats:
                losses = student(**batch, mode='loss')
        logits = student.roi_head._bbox_forward(feats[0], rows.rois)['cls_score']
        with torch.no_grad():
            taught = source.teach(teacher, inputs, rows).logits
        return {**losses, 'loss_kd': kd(logits, taught)}

    calls = {
        'student alone': partial(student, **batch, mode='loss'),
        'floor': floor,
        'luminet_mm': partial(distiller, **batch, mode='loss'),
        "teacher's loss": teacher_loss,
        "student's RoI head twice": twice,
    }
    razor = single_teacher_distill(student, teacher)
    if razor is not None:
        calls['mmrazor.SingleTeacherDistill'] = partial(razor, **batch, mode='loss')
    optim = optimizer(student)
    amp = nullcontext
    if args.dtype != 'float32':
        device = torch.device(args.device).type
        amp = partial(torch.autocast, device, getattr(torch, args.dtype))

    def forward(call: Callable[[], object]) -> object:
        with amp():
            return call()

    def step(call: Callable[[], dict]) -> None:
        loss, _ = student.parse_losses(forward(call))
        optim.update_params(loss)

    return {
        'teacher alone': partial(forward, teach),
        **{name: partial(step, call) for name, call in calls.items()},
    }


@contextmanager
def outputs(module: torch.nn.Module) -> Iterator[list]:
    """What a module gives inside the block."""
    seen = []
    handle = module.register_forward_hook(lambda *args: seen.append(args[2]))
    try:
        yield seen
    finally:
        handle.remove()


def single_teacher_distill(student: BaseModel, teacher: BaseModel) -> BaseModel:
    """mmrazor's distiller of the same two, None where it is not installed.

    It compares the logits of RoIs that both sample, each its own: what it costs is
    right, what it learns is not.
    """
    try:
        enable_mmrazor()
        import mmrazor.models  # noqa: F401
    except ImportError:
        return None
    logits = dict(logits=dict(type='ModuleOutputs', source='roi_head.bbox_head.fc_cls'))
    preds = (dict(from_student=side, recorder='logits') for side in (True, False))
    return MODELS.build(
        dict(
            type='mmrazor.SingleTeacherDistill',
            architecture=student,
            teacher=teacher,
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=logits,
                teacher_recorders=logits,
                distill_losses=dict(loss_kd=dict(type='KLDivergence', tau=1.0)),
                loss_forward_mappings=dict(
                    loss_kd=dict(zip(('preds_S', 'preds_T'), preds))
                ),
            ),
            _scope_='mmrazor',
        )
    )


def print_profile(call: Callable[[], object], device: str) -> None:
    """Print where the time of three calls goes, after one that warms up."""
    call()
    with torch.profiler.profile() as profiler:
        for _ in range(3):
            call()
    where = 'cuda' if device.startswith('cuda') else 'cpu'
    columns = dict(sort_by=f'self_{where}_time_total', row_limit=15)
    print(profiler.key_averages().table(**columns, max_name_column_width=50))


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('step', log_level='WARNING')
    if args.only:
        only = contenders(args)[args.only]  # what the others hold is let go
        print_peaks({args.only: only}, args.device)
        return
    if args.profile:
        print_profile(contenders(args)[args.profile], args.device)
        return
    calls = contenders(args)

    print_heading(__doc__, args.device)
    height, width = args.size
    size = f'{args.batch_size} images of {width} x {height} pixels'
    print(f'{args.config}, {size}, {args.dtype}:\n')
    extra, memory = {}, {}
    if args.memory:
        for name in calls:
            memory.update(read_peaks('--only', name))
        extra = {'peak MiB': {name: f'{each:.0f}' for name, each in memory.items()}}
    milliseconds = measure(calls, args.device, args.runs)
    baselines = [name for name in calls if name not in (*PARTS, 'luminet_mm')]
    print_table(milliseconds, baselines, extra)
    results = dict(milliseconds=milliseconds, peak_mib=memory)
    write_json(args.json, args.device, results)


if __name__ == '__main__':
    main()

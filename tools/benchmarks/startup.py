"""From the command to the end of the first step, in seconds.

Each run is a process of its own: the imports; the config read; its model built, and the
teachers' random weights made, written and read, which is more than a run has to do; the
first step, in which teachers are proven and made faster.
`resumed` reads a checkpoint of student and optimizer before that step, as `--resume`
does. The peak is that of the whole process, on a GPU that of its memory. The first
config is what the others are compared with, usually the student alone. Weights and
images are random.
"""

import argparse
import json
import os.path as osp
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Dict, List

PARTS = ('imports', 'config', 'models', 'resumed', 'first step')
START = time.perf_counter()


def parse_args() -> argparse.Namespace:
    from models import add_batch_options
    from timing import parser

    options = parser(__doc__, runs=3)
    options.add_argument('configs', nargs='+', help='of one student')
    options.add_argument('--resume', help='measure one run, from this checkpoint')
    add_batch_options(options)
    return options.parse_args()


def run_once(args: argparse.Namespace) -> Dict[str, float]:
    """Seconds of each part of a run in this process, and its peak in MiB."""
    import torch
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from models import build_model, optimizer, random_batch

    marks = [START, time.perf_counter()]
    MMLogger.get_instance('startup', log_level='WARNING')
    (path,) = args.configs
    cfg = Config.fromfile(path)
    marks.append(time.perf_counter())
    model = build_model(cfg, args.device)
    wrapper = optimizer(model)
    marks.append(time.perf_counter())
    if osp.exists(args.resume):
        state = torch.load(args.resume, map_location='cpu')
        model.load_state_dict(state['state_dict'])
        wrapper.load_state_dict(state['optimizer'])
    marks.append(time.perf_counter())
    model.train_step(random_batch(model, args.batch_size, *args.size), wrapper)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    if args.device.startswith('cuda'):
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() / 2**20
    marks.append(time.perf_counter())
    if not osp.exists(args.resume):
        state = dict(state_dict=model.state_dict(), optimizer=wrapper.state_dict())
        torch.save(state, args.resume)
    seconds = {part: end - start for part, start, end in zip(PARTS, marks, marks[1:])}
    return dict(seconds, peak=peak)


def run_in_turn(args: argparse.Namespace) -> Dict[str, List[Dict[str, float]]]:
    """Runs of each config by name, fresh and resumed.

    Before them is one that is not counted, which has files in memory.
    """
    options = [f'--device={args.device}', f'--batch-size={args.batch_size}']
    options += ['--size', *map(str, args.size)]

    def run(config: str, resume: str) -> Dict[str, float]:
        done = subprocess.run(
            [sys.executable, __file__, config, *options, '--resume', resume],
            check=True,
            stdout=subprocess.PIPE,
        )
        return json.loads(done.stdout.splitlines()[-1])

    runs: Dict[str, List[Dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run(args.configs[-1], osp.join(folder, 'first.pth'))
        for turn in range(args.runs):
            for index, config in enumerate(args.configs):
                name = osp.splitext(osp.basename(config))[0]
                resume = osp.join(folder, f'{turn}_{index}.pth')
                for each in (name, f'{name}, resumed'):
                    runs.setdefault(each, []).append(run(config, resume))
    return runs


def main() -> None:
    args = parse_args()
    if args.resume:
        print(json.dumps(run_once(args)))
        return

    from timing import print_heading, print_table, write_json

    print_heading(__doc__, args.device)
    runs = run_in_turn(args)

    def medians(key: str, digits: int) -> Dict[str, str]:
        return {
            name: f'{statistics.median(run[key] for run in each):.{digits}f}'
            for name, each in runs.items()
        }

    extra = {part: medians(part, 2) for part in PARTS}
    extra['peak MiB'] = medians('peak', 0)
    seconds = {
        name: [sum(run[part] for part in PARTS) for run in each]
        for name, each in runs.items()
    }
    print_table(seconds, [next(iter(seconds))], extra, unit='s')
    write_json(args.json, args.device, dict(runs=runs))


if __name__ == '__main__':
    main()

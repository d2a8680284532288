"""Pack the logs of trainings into one small file, which compare_seeds.py reads.

Of each work dir ROOT/SEED/NAME the zip file keeps, by the same names, what was logged
while training, validating and testing, word for word; the whole config; and the head
of each start's log, which has the versions and the processor. Absolute paths lose
their folders. A file that is there already keeps what ROOT has not, so the trainings
of several machines and days go into one; ROOT may be such a file as well.
"""

import argparse
import os
import os.path as osp
import re
import tempfile
import zipfile
from typing import Dict, Iterator, Tuple

from luminet_mm.logs import Folder, open_folder, subfolders


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', help='folder with one folder for each seed')
    parser.add_argument('file', help='zip file to write or to add to')
    parser.add_argument('--names', nargs='+', help='trainings (default: all there are)')
    return parser.parse_args()


def logs_of(work_dir: Folder) -> Iterator[Tuple[str, bytes]]:
    """What is kept of a work dir.

    Args:
        work_dir (str | PathLike | zipfile.Path): Of one training.

    Yields:
        tuple[str, bytes]: Path below the work dir, and the file's content.
    """
    for config in open_folder(work_dir).iterdir():
        if config.name.endswith('.py'):
            yield config.name, without_folders(config.read_bytes())
    for start in subfolders(work_dir):
        for path in (
            f'{start.name}/{start.name}.json',  # of a test
            f'{start.name}/vis_data/scalars.json',
        ):
            if (open_folder(work_dir) / path).exists():
                yield path, (open_folder(work_dir) / path).read_bytes()
        log = start / f'{start.name}.log'
        if log.exists():
            head, *_ = log.read_bytes().partition(b'Config:\n')
            yield f'{start.name}/{start.name}.log', head


def without_folders(config: bytes) -> bytes:
    """A config whose absolute paths, '/home/me/data/train/', end as '.../train/'.

    Where data and checkpoints lay on the machine is nobody's business.
    """
    return re.sub(rb"'/[^'\n]*/(?=[^'/\n]+/?')", b"'.../", config)


def main() -> None:
    args = parse_args()
    packed: Dict[str, bytes] = {}
    if osp.exists(args.file):
        if not zipfile.is_zipfile(args.file):
            raise SystemExit(
                f'{args.file!r} is no zip file and is not overwritten: name another'
            )
        with zipfile.ZipFile(args.file) as file:
            packed = {name: file.read(name) for name in file.namelist()}
    runs = []
    for seed in subfolders(args.root):
        for work_dir in subfolders(seed):
            run = f'{seed.name}/{work_dir.name}/'
            logs = dict(logs_of(work_dir))
            wanted = args.names is None or work_dir.name in args.names
            if wanted and any(path.endswith('.json') for path in logs):
                packed = {p: log for p, log in packed.items() if not p.startswith(run)}
                packed.update((run + path, log) for path, log in logs.items())
                runs.append(run[:-1])
    if not runs:
        raise SystemExit(
            f'{args.root!r} has no log of {args.names or "a training"}: no such '
            'folder, or none of its folders SEED/NAME is the work dir of one'
        )
    folder = osp.dirname(osp.abspath(args.file))
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        new = osp.join(unfinished, 'logs.zip')
        with zipfile.ZipFile(new, 'w') as file:
            for path in sorted(packed):
                # without the time of today: the same logs make the same file
                info = zipfile.ZipInfo(path)
                info.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(info, packed[path], compresslevel=9)
        os.replace(new, args.file)  # whole, or as it was
    print(f'{args.file}: {len(runs)} trainings from {args.root}: {" ".join(runs)}')


if __name__ == '__main__':
    main()

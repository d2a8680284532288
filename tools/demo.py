"""Distil a small digit detector on the CPU, in four trainings and four tests.

It makes a detection set out of the handwritten digits that scikit-learn ships,
trains a teacher, then the small student alone, with KD and with LumiNet, tests
all four and ends with a table and a picture. What is complete is skipped, so an
interrupted demo goes on where it stopped.
"""

import argparse
import os
import os.path as osp
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from glob import escape, glob
from typing import Dict, List, Optional

from mmengine import dump, load
from mmengine.config import Config
from pycocotools import mask as mask_utils

from luminet_mm.checkpoints import read_checkpoint
from luminet_mm.datasets import DIGITS, write_digit_scenes
from luminet_mm.files import new_folder
from luminet_mm.logs import read_scalars

TOOLS = osp.dirname(osp.abspath(__file__))
CONFIGS = osp.join(osp.dirname(TOOLS), 'configs', 'demo')
SCHEDULE = Config.fromfile(osp.join(CONFIGS, 'digits.py'))
# Name: title, config of the training, config of the test.
MODELS = dict(
    teacher=('teacher', 'digits_teacher.py', 'digits_teacher.py'),
    student=('student alone', 'digits_student.py', 'digits_student.py'),
    kd=('student, KD', 'digits_kd.py', 'digits_student.py'),
    luminet=('student, LumiNet', 'digits_luminet.py', 'digits_student.py'),
)
# One core for each, as a small model gains little from a second one.
STAGES = (('teacher', 'student'), ('kd', 'luminet'))
# What is shown of the runner's lines.
SHOWN = ('Epoch', '[', 'eta', 'loss:', 'loss_kd', 'loss_luminet', 'coco/bbox_mAP:')
NUM_PAINTED = 4
SCORE_THR = 0.5


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--work-dir', default='work_dirs/demo', help='results')
    parser.add_argument('--data-root', default='data/digits', help='digit scenes')
    parser.add_argument('--seed', type=int, default=0, help='of data and trainings')
    return parser.parse_args()


class Demo:
    """The steps of the demo; each looks first whether it is done already.

    Args:
        work_dir (str): Folder of results, with a folder for each model.
        data_root (str): Folder of the digit scenes.
        seed (int): Seed of the data and of the trainings.
    """

    def __init__(self, work_dir: str, data_root: str, seed: int) -> None:
        self.work_dir = work_dir
        self.data_root = data_root
        self.seed = seed
        self.start = time.time()
        self.processes: List[subprocess.Popen] = []

    def run(self) -> None:
        """All steps, in order."""
        self.check_settings()
        self.make_data()
        for stage in STAGES:
            with ThreadPoolExecutor(len(stage)) as pool:
                try:
                    list(pool.map(self.train_and_test, stage))
                except BaseException:
                    self.stop()
                    raise
        self.report()

    def say(self, who: str, what: str) -> None:
        """Print a line of progress with the time since the start."""
        passed = timedelta(seconds=int(time.time() - self.start))
        print(f'{passed}  {who:<8} {what}', flush=True)

    def stop(self) -> None:
        """End what is running, so that nothing trains on unseen."""
        for process in self.processes:
            process.terminate()

    # ------------------------------------------------------------------- steps
    def check_settings(self) -> None:
        """Refuse to go on with the results of other settings."""
        path = self.path('demo.json')
        settings = dict(seed=self.seed, data_root=osp.abspath(self.data_root))
        if not osp.exists(path):
            os.makedirs(self.work_dir, exist_ok=True)
            dump(settings, path)
        elif load(path) != settings:
            sys.exit(
                f'{self.work_dir} holds results of {load(path)}, not of {settings}: '
                'give another --work-dir, or delete that one'
            )

    def make_data(self) -> None:
        """Make the data in a folder beside it, so that it is complete or absent."""
        if not osp.isdir(self.data_root):
            self.say('data', f'making {self.data_root}')
            with new_folder(self.data_root) as unfinished:
                write_digit_scenes(unfinished, self.seed)
        seed = self.annotations()['info']['seed']
        if seed != self.seed:
            sys.exit(
                f'{self.data_root} was made from the seed {seed}, not {self.seed}: '
                'give another --data-root, or delete that one'
            )
        self.say('data', f'complete: {self.data_root}')

    def train_and_test(self, name: str) -> None:
        """Train a model from its last checkpoint, if there is one, and test it.

        A distilled student is tested with the plain student's config.
        """
        title, train_config, test_config = MODELS[name]
        if not self.is_trained(name):
            options = [f"data_root='{self.data_root}'", f'randomness.seed={self.seed}']
            if train_config != test_config:
                options.append(f"model.teacher_ckpt='{self.checkpoint('teacher')}'")
            self.say(name, f'training the {title}')
            self.call(
                name,
                *('train.py', osp.join(CONFIGS, train_config), '--resume'),
                *('--work-dir', self.path(name), '--cfg-options', *options),
            )
        if self.metrics(name) is None:
            self.say(name, f'testing the {title}')
            self.call(
                name,
                *('test.py', osp.join(CONFIGS, test_config), self.checkpoint(name)),
                *('--work-dir', self.path(name, 'test')),
                *('--out', self.path(name, 'predictions.pkl')),
                *('--cfg-options', f"data_root='{self.data_root}'"),
            )
        self.say(name, f'complete: AP {100 * self.metrics(name)["coco/bbox_mAP"]:.1f}')

    def call(self, name: str, tool: str, *args: str) -> None:
        """Run a tool in a process of its own and show its progress.

        The lines of the runner's loops are shown as they come. The whole output
        is in the log of the run; if it fails, the end of it is shown.

        Args:
            name (str): The model.
            tool (str): Name of the tool.
            *args (str): Its arguments.
        """
        # With a second thread each waits for the other in a busy loop: somewhat
        # faster on an idle machine, many times slower on a busy one
        env = {'OMP_NUM_THREADS': '1', **os.environ}
        output = []
        with subprocess.Popen(
            [sys.executable, osp.join(TOOLS, tool), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
        ) as process:
            self.processes.append(process)
            for line in process.stdout:
                output.append(line)
                if ' Epoch(' in line:
                    fields = line[line.index('Epoch(') :].split('  ')
                    shown = [f.strip() for f in fields if f.strip().startswith(SHOWN)]
                    self.say(name, '  '.join(shown))
        if process.returncode:
            tail = ''.join(output[-30:])
            raise SystemExit(
                f'{tail}\n{tool} {" ".join(args)} failed with {process.returncode}. '
                'The same demo goes on here.'
            )

    def report(self) -> None:
        """Write and print the table, and paint the picture."""
        rows = [self.measure(name) for name in MODELS]
        table = format_table(rows)
        dump(rows, self.path('results.json'), indent=2)
        with open(self.path('results.md'), 'w') as f:
            f.write(table)
        self.say('picture', 'painting the detections')
        self.paint(self.path('detections.png'))
        print(
            f'\n{table}\n'
            f'table    {self.path("results.md")}, {self.path("results.json")}\n'
            f'picture  {self.path("detections.png")}\n'
            f'weights  {self.checkpoint("luminet")}\n'
            '         an ordinary checkpoint of mmdet, for the config\n'
            f'         {osp.join(CONFIGS, MODELS["luminet"][2])}'
        )

    # ----------------------------------------------------------------- results
    def path(self, *names: str) -> str:
        return osp.join(self.work_dir, *names)

    def checkpoint(self, name: str) -> str:
        """The last checkpoint of a whole training."""
        return self.path(name, f'epoch_{SCHEDULE.train_cfg.max_epochs}.pth')

    def is_trained(self, name: str) -> bool:
        """Whether the last checkpoint is there; the runner names it when whole."""
        latest = self.path(name, 'last_checkpoint')
        if not osp.isfile(latest) or not osp.isfile(self.checkpoint(name)):
            return False
        with open(latest) as f:
            return osp.basename(f.read()) == osp.basename(self.checkpoint(name))

    def metrics(self, name: str) -> Optional[Dict[str, float]]:
        """What the test tool measured, None where there is no test yet."""
        # The runner makes a folder for each start, named by the time
        files = sorted(glob(osp.join(escape(self.path(name, 'test')), '*', '*.json')))
        return load(files[-1]) if files else None

    def measure(self, name: str) -> dict:
        """One row of the table."""
        metrics = self.metrics(name)
        checkpoint = read_checkpoint(self.checkpoint(name), name)
        weights = checkpoint['state_dict']
        statistics = ('running_mean', 'running_var', 'num_batches_tracked')
        return dict(
            model=MODELS[name][0],
            params=sum(
                weight.numel()
                for key, weight in weights.items()
                if not key.endswith(statistics)
            ),
            weights_mb=sum(w.numel() * w.element_size() for w in weights.values())
            / 1e6,
            AP=100 * metrics['coco/bbox_mAP'],
            AP50=100 * metrics['coco/bbox_mAP_50'],
            AP75=100 * metrics['coco/bbox_mAP_75'],
            train_seconds=training_time(
                self.path(name), SCHEDULE.default_hooks.logger.interval
            ),
        )

    def annotations(self) -> dict:
        return load(osp.join(self.data_root, 'annotations', 'instances_test.json'))

    def paint(self, path: str) -> None:
        """Paint the first test images as each model sees them, beside the truth."""
        import matplotlib

        matplotlib.use('Agg')
        from matplotlib import pyplot as plt

        coco = self.annotations()
        columns = {'ground truth': coco['annotations']}
        for name, (title, _, _) in MODELS.items():
            columns[title] = detections(load(self.path(name, 'predictions.pkl')))
        images = coco['images'][:NUM_PAINTED]
        size = (3 * len(columns), 3 * len(images) + 0.6)
        figure, grid = plt.subplots(
            len(images), len(columns), figsize=size, layout='constrained'
        )
        for image, axes in zip(images, grid):
            pixels = plt.imread(osp.join(self.data_root, 'test', image['file_name']))
            truth = of_image(coco['annotations'], image)
            for (title, boxes), ax in zip(columns.items(), axes):
                ax.imshow(pixels)
                ax.axis('off')
                if image is images[0]:
                    ax.set_title(title)
                for box in of_image(boxes, image):
                    colour = 'lime' if is_right(box, truth) else 'red'
                    x, y, w, h = box['bbox']
                    ax.add_patch(plt.Rectangle((x, y), w, h, fill=False, ec=colour))
                    ax.text(
                        x,
                        y,
                        DIGITS[box['category_id']],
                        va='bottom',
                        bbox=dict(fc=colour, ec='none', pad=0.5),
                    )
        figure.suptitle(
            f'Detections with a score above {SCORE_THR}: green where a digit of that '
            'class is (IoU at least 0.5), red where not'
        )
        figure.savefig(path, dpi=100)


def training_time(work_dir: str, interval: int) -> float:
    """Add up the time of the training iterations over all starts of a training.

    Args:
        work_dir (str): Work dir of the training. Its logs give the mean time of an
            iteration since the last line; iterations that were interrupted before
            their line are not counted.
        interval (int): Iterations between two lines.

    Returns:
        float: Seconds.
    """
    lines = read_scalars(work_dir)
    return sum((interval * line['time'] for line in lines if 'loss' in line), 0.0)


def detections(predictions: List[dict]) -> List[dict]:
    """Turn what the test tool dumped into annotations as COCO's.

    Args:
        predictions (list[dict]): Data samples, one for each image.

    Returns:
        list[dict]: The boxes above the score threshold.
    """
    boxes = []
    for sample in predictions:
        found = sample['pred_instances']
        for (x1, y1, x2, y2), label, score in zip(
            found['bboxes'].tolist(), found['labels'].tolist(), found['scores'].tolist()
        ):
            if score > SCORE_THR:
                boxes.append(
                    dict(
                        image_id=sample['img_id'],
                        category_id=label,
                        bbox=[x1, y1, x2 - x1, y2 - y1],
                    )
                )
    return boxes


def of_image(boxes: List[dict], image: dict) -> List[dict]:
    return [box for box in boxes if box['image_id'] == image['id']]


def is_right(box: dict, truth: List[dict]) -> bool:
    """Whether a box meets a true one of its class with an IoU of 0.5."""
    same = [t['bbox'] for t in truth if t['category_id'] == box['category_id']]
    return (
        bool(same) and mask_utils.iou([box['bbox']], same, [0] * len(same)).max() >= 0.5
    )


def format_table(rows: List[dict]) -> str:
    """Format the results as a table in Markdown.

    Args:
        rows (list[dict]): See :meth:`Demo.measure`.

    Returns:
        str: The table, its columns aligned.
    """
    cells = [
        ['', 'AP', 'AP50', 'AP75', 'parameters', 'weights', 'training'],
        *(
            [
                row['model'],
                f'{row["AP"]:.1f}',
                f'{row["AP50"]:.1f}',
                f'{row["AP75"]:.1f}',
                f'{row["params"] / 1e6:.2f} M',
                f'{row["weights_mb"]:.1f} MB',
                f'{row["train_seconds"] / 60:.1f} min',
            ]
            for row in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [
        '| '
        + ' | '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        + ' |'
        for row in cells
    ]
    lines.insert(1, '|-' + '-|-'.join('-' * width for width in widths) + '-|')
    return '\n'.join(lines) + '\n'


def main() -> None:
    demo = Demo(**vars(parse_args()))
    # A request to end is handled as Ctrl-C is
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        demo.run()
    except KeyboardInterrupt:
        sys.exit('\nInterrupted. The same command goes on from here.')


if __name__ == '__main__':
    main()

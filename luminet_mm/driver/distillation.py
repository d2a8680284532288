"""From two model names and a data set to a distilled student."""

import os
import os.path as osp
import shlex
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Dict, List, Optional, Sequence

import torch
from mmengine.config import Config

from ..checks import check_number
from ..config import load_cfg
from ..loggers import log_to
from .coco_data import CocoData
from .configs import batches, distilled_cfg, first_difference, iterations, plain_cfg
from .data import Data
from .image_folder import ImageFolder
from .lock import locked
from .methods import DEFAULT, task_of
from .preflight import (
    check_kinds,
    check_models,
    check_space,
    num_images,
    quiet,
    zoo_classes,
)
from .progress import Line, Progress
from .report import measure, paint, table_of_classes, write
from .training import Training
from .weights import use_zoo_weights


class Distillation:
    """The steps of ``luminet distill``; each looks first whether it is done already.

    Args:
        teacher (str): ``package::path.py`` of a model zoo, or a config file.
        student (str): The same.
        coco (str, optional): Folder of images with boxes, see :class:`CocoData`.
        images (str, optional): Folder of images, see :class:`ImageFolder`. Without both
            the configs say what the data is.
        methods (Sequence[str], optional): Names, see :func:`load_method`; each makes a
            distilled student. Defaults to None, what is recommended for the models.
        teacher_ckpt (str, optional): Weights of a teacher of the data's classes.
            Defaults to None: the zoo's where the classes are its own, else the teacher
            is trained first.
        alone (bool): Whether the student is trained without a teacher, too. Defaults to
            False.
        epochs (int, optional): Of each training. See :func:`plain_cfg`.
        batch_size (int, optional): Images a step on one GPU. See :func:`plain_cfg`.
        gpus (int): Processes of a training. Defaults to 1.
        jobs (int): Trainings at a time. Defaults to 1.
        amp (bool): Whether to train in mixed precision. Defaults to False.
        loggers (Sequence[str]): See :func:`luminet_mm.loggers.log_to`. Defaults to
            none, the files of the work dir alone.
        seed (int): Of the trainings. Defaults to 0.
        work_dir (str, optional): Folder of results. Defaults to None,
            ``work_dirs/STUDENT_from_TEACHER``.
        cfg_options (dict, optional): Settings to override in all trainings; those of
            ``model`` in the distillations alone.

    Raises:
        ValueError: For input that cannot work, before anything is trained.
    """

    def __init__(
        self,
        teacher: str,
        student: str,
        coco: Optional[str] = None,
        images: Optional[str] = None,
        methods: Optional[Sequence[str]] = None,
        teacher_ckpt: Optional[str] = None,
        alone: bool = False,
        epochs: Optional[int] = None,
        batch_size: Optional[int] = None,
        gpus: int = 1,
        jobs: int = 1,
        amp: bool = False,
        loggers: Sequence[str] = (),
        seed: int = 0,
        work_dir: Optional[str] = None,
        cfg_options: Optional[Dict[str, Any]] = None,
    ) -> None:
        if coco and images:
            raise ValueError('--coco and --images: name one of them')
        for key, value in dict(
            epochs=epochs, batch_size=batch_size, gpus=gpus, jobs=jobs
        ).items():
            if value is not None:
                key = f'--{key.replace("_", "-")}'
                check_number(key, value, at_least=1, integer=True)
        available = torch.cuda.device_count()
        if available and gpus > available:
            raise ValueError(f'--gpus {gpus}: this machine has {available}')
        if amp and not available:
            raise ValueError('--amp needs a GPU, and torch sees none')
        if gpus > 1 and jobs > 1:
            raise ValueError(
                f'--gpus {gpus} --jobs {jobs}: several trainings of several processes '
                'would share GPUs; name one of both'
            )
        self.names = dict(teacher=teacher, student=student)
        self.folder = coco or images
        self.kind = CocoData if coco else ImageFolder
        self.methods = methods
        self.teacher_ckpt = teacher_ckpt
        self.alone = alone
        self.length = dict(epochs=epochs, batch_size=batch_size, gpus=gpus, seed=seed)
        self.gpus = gpus
        self.jobs = jobs
        self.amp = amp
        self.loggers = loggers
        options = dict(cfg_options or {})
        self.of_model = {k: v for k, v in options.items() if k.startswith('model.')}
        self.of_run = {k: v for k, v in options.items() if k not in self.of_model}
        short = [osp.splitext(osp.basename(name))[0] for name in (student, teacher)]
        self.work_dir = work_dir or osp.join('work_dirs', '_from_'.join(short))
        self.progress = Progress(self._to_come)
        self.trainings: Dict[str, Training] = {}
        self._processes: List[subprocess.Popen] = []
        self._lock: Sequence[int] = ()
        self._iterations: Dict[str, int] = {}  # of those that are not complete

    # ------------------------------------------------------------------ the steps
    def plan(self) -> None:
        """Check all that can be known, and write the configs of all trainings.

        Raises:
            ValueError: For what cannot work, or a work dir of other trainings.
        """
        data = self._read_data()
        ckpt = self.teacher_ckpt or self._zoo_ckpt(data)
        plain = {
            role: plain_cfg(name, self.of_run, data, **self.length)
            for role, name in self.names.items()
        }
        check_kinds(plain, self.names)
        num_samples = num_images(plain['student'], self.names['student'], data)
        for role, cfg in plain.items():
            if role == 'student' or not ckpt:
                self._find_weights(role, cfg)
        methods = self.methods or [DEFAULT[task_of(plain['student'])]]
        with tempfile.TemporaryDirectory() as folder:
            # complete or not at all: the work dir gets them when all are right
            for name, cfg in plain.items():
                self._write(name, cfg, folder, num_samples)
            for method in methods:
                if method in plain:
                    raise ValueError(f'--method {method}: that is no method')
                cfg = distilled_cfg(
                    osp.join(folder, 'student.py'),
                    osp.join(folder, 'teacher.py'),
                    ckpt or self._training('teacher').checkpoint_of(plain['teacher']),
                    method,
                    self.of_model,
                    num_samples,
                    osp.join(self.work_dir, 'student'),
                    self.gpus,
                )
                self._write(_file_name(method), cfg, folder, num_samples)
                need = check_models(cfg, ckpt)
            trained = [] if ckpt else ['teacher']
            trained += ['student'] if self.alone else []
            trained += map(_file_name, methods)
            new = [n for n in trained if not osp.isdir(self._training(n).work_dir)]
            check_space(self.work_dir, need * len(new))
            self._keep(folder)
        self.trainings = {name: self._training(name) for name in trained}
        for name in trained:
            cfg = Config.fromfile(self.trainings[name].config)
            self._iterations[name] = iterations(cfg, num_samples, self.gpus)

    def run(self) -> List[dict]:
        """Train and test what is not yet, and report.

        Returns:
            list[dict]: See :func:`measure`, one for each training.

        Raises:
            ValueError: If another distillation runs in the work dir, and with its last
                words where a training fails.
        """
        first = [t for name, t in self.trainings.items() if name in self.names]
        second = [t for name, t in self.trainings.items() if name not in self.names]
        with locked(self.work_dir) as self._lock, self.progress:
            for stage in (first, second):
                self._complete_all(stage)
        rows = [measure(training) for training in self.trainings.values()]
        print(f'\n{write(rows, self.work_dir)}')
        print(f'table    {osp.join(self.work_dir, "results.md")}')
        if 'head' not in Config.fromfile(second[-1].test_config).model:
            print(f'picture  {paint(self.trainings, self.work_dir)}')
        for training in second:
            print(f'weights  {training.checkpoint}')
        print(f'         for the config {second[-1].test_config}')
        return rows

    def commands(self) -> List[str]:
        """What :meth:`run` would call, as lines of a shell."""
        return [
            shlex.join(command)
            for training in self.trainings.values()
            for _, command in training.commands()
        ]

    # -------------------------------------------------------------------- planning
    def _read_data(self) -> Optional[Data]:
        if self.folder is None:
            return None
        data = self.kind(self.folder)
        if not osp.isfile(osp.join(self.work_dir, 'student.py')):
            data.check_images()
        self.progress.say(f'data {self.folder}\n{table_of_classes(data)}')
        for warning in data.warnings:
            self.progress.say(f'warning: {warning}')
        return data

    def _find_weights(self, role: str, cfg: Config) -> None:
        with quiet():
            problems = use_zoo_weights(cfg, self.names[role])
        for problem in problems:
            self.progress.say(
                f'warning: the {role} starts from random weights: {problem}'
            )

    def _zoo_ckpt(self, data: Optional[Data]) -> Optional[str]:
        """The zoo's weights of a teacher, if they were trained on the same classes."""
        name = self.names['teacher']
        if '::' not in name or data and tuple(zoo_classes(name)) != data.classes:
            return None
        try:
            return load_cfg(name, 'teacher', pretrained=True).model_path
        except ValueError:  # it lists none
            return None

    def _write(self, name: str, cfg: Config, folder: str, num_samples: int) -> None:
        """Write the config of a training, complete with what every one gets."""
        cfg.work_dir = osp.join(self.work_dir, name)
        hooks = cfg.setdefault('default_hooks', {})
        logger = hooks.setdefault('logger', dict(type='LoggerHook', interval=10))
        per_epoch = batches(cfg, num_samples, self.gpus)
        logger['interval'] = max(1, min(logger.get('interval', 10), per_epoch))
        cfg.setdefault('log_processor', {})['window_size'] = logger['interval']
        checkpoint = hooks.setdefault('checkpoint', dict(interval=1))
        checkpoint['type'] = 'luminet_mm.SafeCheckpointHook'
        if 'max_epochs' in cfg.train_cfg:
            # the older one is deleted when the newer one is written
            checkpoint.update(interval=1, max_keep_ckpts=2)
        asked = [
            key for key in self.of_run if key.startswith('default_hooks.checkpoint')
        ]
        cfg.merge_from_dict({key: self.of_run[key] for key in asked})
        if self.amp:
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
            cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
        for backend in self.loggers:
            log_to(cfg, backend)
        cfg.dump(osp.join(folder, f'{name}.py'))

    def _keep(self, folder: str) -> None:
        """Move the configs to the work dir, unless it has others."""
        names = sorted(os.listdir(folder))
        for name in names:
            old, new = osp.join(self.work_dir, name), osp.join(folder, name)
            if not osp.exists(old):
                continue
            key = first_difference(Config.fromfile(old), Config.fromfile(new))
            if key:
                raise ValueError(
                    f'--work-dir {self.work_dir} is of another distillation: {key} of '
                    f'{name} differs; name another one, or delete that'
                )
        try:
            os.makedirs(self.work_dir, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f'--work-dir {self.work_dir} cannot be made: {error}'
            ) from None
        for name in names:
            shutil.copyfile(osp.join(folder, name), osp.join(self.work_dir, name))

    def _training(self, name: str) -> Training:
        titles = dict(teacher='teacher', student='student alone')
        test = name if name in self.names else 'student'
        title = titles.get(name, f'student, {name}')
        return Training(name, title, self.work_dir, test, self.gpus)

    # --------------------------------------------------------------------- running
    def _complete_all(self, trainings: List[Training]) -> None:
        """Complete trainings that do not wait for each other; the first that fails
        ends all."""
        with ThreadPoolExecutor(self.jobs) as pool:
            running = [pool.submit(self._complete, training) for training in trainings]
            try:
                for each in as_completed(running):
                    each.result()
            except BaseException:
                for each in running:
                    each.cancel()
                for process in self._processes:  # nothing trains on unseen
                    process.terminate()
                raise

    def _complete(self, training: Training) -> None:
        """Train and test one, as far as it is not yet."""
        cfg = Config.fromfile(training.config)
        line = Line(training.title, cfg.train_cfg.get('max_epochs'))
        self.progress.lines[training.name] = line
        env = dict(os.environ)
        if self.jobs > 1:
            # with a second thread each waits for the other in a busy loop
            env.setdefault('OMP_NUM_THREADS', '1')

        def read(text: str) -> None:
            if line.read(text):
                self.progress.update(training.name)

        for what, command in training.commands():
            line.begin(what)
            try:
                training.run(command, read, self._processes.append, env, self._lock)
            except ValueError as error:
                raise ValueError(
                    f'the {training.title} failed: {error}\n'
                    'The same command goes on here.'
                ) from None
        del self.progress.lines[training.name], self._iterations[training.name]
        metric = ' '.join(f'{k} {v:.4g}' for k, v in list(training.metrics.items())[:1])
        self.progress.say(f'{training.title}: complete, {metric}')

    def _to_come(self) -> Optional[float]:
        """Seconds until all is done, by what an iteration of the running ones takes."""
        # copies, as other trainings end meanwhile
        waiting, lines = dict(self._iterations), dict(self.progress.lines)
        running = [
            (line, waiting.pop(name))
            for name, line in lines.items()
            if name in waiting and line.begun is not None and line.done < 1
        ]
        done = sum((line.done - line.begun) * each for line, each in running)
        if not done:
            return None
        passed = sum(time.time() - line.start for line, _ in running)
        left = sum((1 - line.done) * iterations for line, iterations in running)
        left += sum(each for name, each in waiting.items() if name not in lines)
        return passed / done * left / min(self.jobs, len(running))


def _file_name(method: str) -> str:
    """A method's name as that of a file."""
    return method.replace('+', '_')

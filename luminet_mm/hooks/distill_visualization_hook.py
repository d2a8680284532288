import copy
import logging
from typing import Optional

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from ..checks import check_number, key_of
from ..compat import alone, is_instance
from ..distillers import LogitDistiller
from ..distillers.building import copy_of
from ..never_stop import never_stop
from ..registry import HOOKS
from ..rng import forked_rng
from ..visualization import (
    detect,
    detect_by_teachers,
    draw_detections,
    draw_perceptions,
)


@HOOKS.register_module()
class DistillVisualizationHook(Hook):
    """Shows how a student comes to see what its teacher sees.

    Before training, every ``interval`` and after training it gives two pictures to
    the runner's visualizer, whose backends store them:

    - ``perception``: :func:`luminet_mm.visualization.draw_perceptions` of the first
      training batch of this start, the same batch each time. Its images come without
      the augmentations of the student's preprocessor. A detector's rows are those
      that are distilled at that time.
    - ``detections``, of a detector: what teacher and student find in the first images
      of that batch, beside the ground truth.

    The training is not disturbed: its weights at the end are those without the hook,
    to the last bit. A copy of the student is looked at, in eval mode, without
    gradient, and random numbers are drawn apart. In a distributed training the first
    process does it, alone. Where looking, drawing or storing fails, there is one
    warning and no further picture.

    Args:
        interval (int, optional): Epochs between two pictures, or iterations in an
            iteration-based loop. Defaults to None, the loop's ``val_interval``, so
            that each validation has its picture.
        max_rows (int): Rows of the matrices that are shown. Defaults to 160, see
            :func:`draw_perceptions`.
        num_images (int): Images of ``detections``; 0 for none. Defaults to 2.
        score_thr (float): Score above which a detection is shown. Defaults to 0.3,
            upstream's default.

    Raises:
        TypeError, ValueError: For an argument that is no such number.
    """

    def __init__(
        self,
        interval: Optional[int] = None,
        max_rows: int = 160,
        num_images: int = 2,
        score_thr: float = 0.3,
    ) -> None:
        if interval is not None:
            check_number(key_of(self, 'interval'), interval, at_least=1, integer=True)
        check_number(key_of(self, 'max_rows'), max_rows, at_least=1, integer=True)
        check_number(key_of(self, 'num_images'), num_images, at_least=0, integer=True)
        check_number(key_of(self, 'score_thr'), score_thr, at_least=0, at_most=1)
        self.interval = interval
        self.max_rows = max_rows
        self.num_images = num_images
        self.score_thr = score_thr
        self._model: Optional[LogitDistiller] = None
        self._batch: Optional[dict] = None
        self._last_step = -1

    @never_stop
    def before_train(self, runner: Runner) -> None:
        """Look at what is trained, and in which unit."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.by_epoch = not isinstance(runner.train_loop, IterBasedTrainLoop)
        self.interval = self.interval or runner.train_loop.val_interval
        if not isinstance(model, LogitDistiller):
            _warn(f'a {type(model).__name__} has no teacher, only a LogitDistiller has')
        elif 'logits' not in model.source.compared and not _detects(model):
            _warn('model.distill_losses compare features alone, no logits')
        elif is_main_process():
            self._model = model

    @never_stop
    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Keep the first batch, and draw what there is before it is trained on."""
        if self._model is not None and self._batch is None:
            self._batch = copy.deepcopy(data_batch)
            self._draw(runner, runner.epoch if self.by_epoch else runner.iter)

    @never_stop
    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Draw, in an iteration-based loop."""
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self._draw(runner, runner.iter + 1)

    @never_stop
    def after_train_epoch(self, runner: Runner) -> None:
        """Draw, in an epoch-based loop."""
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._draw(runner, runner.epoch + 1)

    @never_stop
    def after_train(self, runner: Runner) -> None:
        """Draw the end, unless that was an interval's."""
        step = runner.epoch if self.by_epoch else runner.iter
        if self._batch is not None and step != self._last_step:
            self._draw(runner, step)

    def _draw(self, runner: Runner, step: int) -> None:
        if self._model is None:
            return
        self._last_step = step
        model = copy_of(self._model).eval()
        batch = copy.deepcopy(self._batch)  # preprocessors write into theirs
        meta = runner.message_hub.get_info('dataset_meta') or {}
        with forked_rng(next(model.parameters()).device), alone():
            data = model.data_preprocessor(batch, False)
            pictures, preds_T = {}, ()
            if 'logits' in model.source.compared:  # else there is no perception
                rows, preds_T = model.look(**data)
            if len(preds_T):
                unit = 'epoch' if self.by_epoch else 'iteration'
                pictures['perception'] = draw_perceptions(
                    rows.logits,
                    preds_T,
                    rows.labels,
                    meta.get('classes'),
                    title=f'{model.source}, {unit} {step}',
                    max_rows=self.max_rows,
                )
            if self.num_images and _detects(model):
                pictures['detections'] = self._draw_detections(model, data, meta)
        for name, picture in pictures.items():
            runner.visualizer.add_image(name, picture, step)

    def _draw_detections(
        self, model: LogitDistiller, data: dict, meta: dict
    ) -> np.ndarray:
        """Boxes are in pixels of the network's input, as augmentations made it."""
        inputs = data['inputs'][: self.num_images]
        samples = data['data_samples'][: self.num_images]
        images = self._batch['inputs'][: self.num_images]
        columns = {
            'ground truth': [sample.gt_instances.cpu() for sample in samples],
            **detect_by_teachers(model, inputs, samples, rescale=False),
            'student': detect(model.student, inputs, samples, rescale=False),
        }
        return draw_detections(
            # upstream loads BGR
            [image.permute(1, 2, 0).flip(2).cpu().numpy() for image in images],
            columns,
            meta.get('classes'),
            meta.get('palette'),
            self.score_thr,
        )


def _detects(model: LogitDistiller) -> bool:
    return is_instance(model.student, 'mmdet.models', 'BaseDetector')


def _warn(why: str) -> None:
    print_log(
        f'DistillVisualizationHook draws nothing: {why}',
        logger='current',
        level=logging.WARNING,
    )

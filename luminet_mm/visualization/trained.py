"""Pictures of what a training did, from its config and its checkpoints."""

import copy
from typing import TYPE_CHECKING, Optional, Sequence

import mmcv
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.fileio import get
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch.utils.data import Dataset

from ..checkpoints import check_fits
from ..compat import is_instance
from ..distillers import BaseDistiller, LogitDistiller
from ..logs import read_unit, read_validations
from ..rng import forked_rng
from .curves import draw_curves
from .detections import detect, detect_by_teachers, draw_detections
from .perceptions import draw_perceptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@torch.no_grad()
def perceptions_of(
    runner: Runner,
    checkpoint: str,
    before: Optional[str] = None,
    batch_size: Optional[int] = None,
    max_rows: int = 160,
) -> np.ndarray:
    """Draw teacher and student on a training batch, before and after training.

    The matrices of Figure 3 of the paper: rows are images, or what is distilled of a
    detector (RoIs, priors), in the order of their labels; columns are classes. Both
    pictures are of the same rows, those of the trained student, so that what differs
    is the student.

    Args:
        runner (Runner): Of the distillation's config; its model gets other weights.
        checkpoint (str): The trained student's.
        before (str, optional): An earlier one. Defaults to None, the untrained student.
        batch_size (int, optional): Images, spread evenly over the training set.
            Defaults to None, as in training.
        max_rows (int): Rows to show. Defaults to 160, which fit on a screen.

    Returns:
        ndarray: RGB, uint8, shape (H, W, 3).

    Raises:
        ValueError: If the model has no teacher, or compares no logits, or the
            checkpoint is another model's.
    """
    model, config = runner.model, runner.cfg.filename
    if not isinstance(model, LogitDistiller):
        raise ValueError(
            f'{config}: model is a {type(model).__name__}, and only a '
            'LogitDistiller has a teacher; name the config of a distillation'
        )
    model.init_weights()
    if before:
        check_fits(model, runner.load_checkpoint(before), before, config)
    untrained = copy.deepcopy(model.student).eval()
    check_fits(model, runner.load_checkpoint(checkpoint), checkpoint, config)
    model.eval()

    dataset = runner.build_dataloader(runner.cfg.train_dataloader).dataset
    size = batch_size or runner.cfg.train_dataloader.batch_size
    with forked_rng(next(model.parameters()).device):  # the same rows each time
        data = model.data_preprocessor(_read_batch(dataset, size), False)
        rows, preds_T = model.look(**data)
    rows.zoom, rows.octaves = None, 0  # from here on students are asked
    rows.shown = rows.image_size
    preds_before, preds_after = (
        model.source.teach(student, data['inputs'], rows).logits
        for student in (untrained, model.student)
    )
    if not torch.allclose(preds_after, rows.logits, rtol=1e-3, atol=1e-3):
        raise ValueError(
            f'{config}: model.source takes other logits of a teacher than of a '
            'student (student_stage and teacher_stage of a Cascade R-CNN differ), so '
            'two students cannot be compared on the same rows'
        )
    titles = before or 'untrained student', checkpoint
    return np.concatenate(
        [
            draw_perceptions(
                preds_S,
                preds_T,
                rows.labels,
                dataset.metainfo.get('classes'),
                title=f'{title}\n{model.source}',
                max_rows=max_rows,
            )
            for title, preds_S in zip(titles, (preds_before, preds_after))
        ]
    )


def detections_of(
    runner: Runner,
    checkpoint: str,
    student_ckpt: Optional[str] = None,
    num_images: int = 4,
    score_thr: float = 0.3,
) -> np.ndarray:
    """Draw what models find in images of the test set, beside the ground truth.

    The images are spread evenly; the pixels of each model are those of its own
    preprocessor.

    Args:
        runner (Runner): Of the config, a distillation's or a detector's alone; its
            model gets other weights.
        checkpoint (str): The (distilled) student's.
        student_ckpt (str, optional): That of the student trained alone. Defaults to
            None, which leaves it out.
        num_images (int): Images to show. Defaults to 4.
        score_thr (float): Score above which a detection is shown. Defaults to 0.3,
            upstream's default.

    Returns:
        ndarray: RGB, uint8, shape (H, W, 3).

    Raises:
        ValueError: If the model is no detector, there are no images, or a checkpoint
            is another model's.
    """
    model, config = runner.model.eval(), runner.cfg.filename
    student = model.student if isinstance(model, BaseDistiller) else model
    if not is_instance(student, 'mmdet.models', 'BaseDetector'):
        kind = type(student).__name__
        raise ValueError(f'{config}: {kind} is no detector, so it detects nothing')
    loader = runner.cfg.get('test_dataloader') or runner.cfg.get('val_dataloader')
    if loader is None:
        raise ValueError(f'{config} sets no test_dataloader, so there are no images')
    dataset = runner.build_dataloader(loader).dataset
    indices = np.linspace(0, len(dataset) - 1, num_images).astype(int).tolist()
    infos = [dataset.get_data_info(index) for index in indices]
    columns = {'ground truth': [_ground_truth(info) for info in infos]}
    # one by one, as padding to a common size would change what is found
    batches = [pseudo_collate([dataset[index]]) for index in indices]
    batches = [model.data_preprocessor(batch, False) for batch in batches]
    if isinstance(model, LogitDistiller):
        by_image = [detect_by_teachers(model, **batch) for batch in batches]
        for title in by_image[0]:
            columns[title] = [found[title][0] for found in by_image]
    title = 'detector' if student is model else 'distilled student'
    checkpoints = {title: checkpoint}
    if student_ckpt:
        checkpoints = {'student alone': student_ckpt, **checkpoints}
    for title, path in checkpoints.items():
        check_fits(model, runner.load_checkpoint(path), path, config)
        columns[title] = [detect(student, **batch)[0] for batch in batches]
    return draw_detections(
        [mmcv.imfrombytes(get(i['img_path']), channel_order='rgb') for i in infos],
        columns,
        dataset.metainfo.get('classes'),
        dataset.metainfo.get('palette'),
        score_thr,
    )


def curves_of(
    work_dirs: Sequence[str], names: Sequence[str], metric: Optional[str] = None
) -> 'Figure':
    """Draw a validation metric of trainings over their time.

    Args:
        work_dirs (Sequence[str]): Their work dirs.
        names (Sequence[str]): A title for each.
        metric (str, optional): Its name in the logs. Defaults to None, the first one
            of the first training.

    Returns:
        Figure: To be saved in any format that matplotlib knows, by ``savefig``.

    Raises:
        ValueError: If a training has no validation with it, or some count epochs and
            some iterations.
    """
    runs = {}
    for name, work_dir in zip(names, work_dirs):
        validations = read_validations(work_dir)
        logged = list(
            dict.fromkeys(key for each in validations.values() for key in each)
        )
        metric = metric or (logged[0] if logged else 'any metric')
        if metric not in logged:
            raise ValueError(
                f'{work_dir!r} has no validation with {metric!r}, only {sorted(logged)}'
            )
        runs[name] = [validations]
    units = sorted({read_unit(work_dir) for work_dir in work_dirs})
    if len(units) > 1:
        raise ValueError('some of the trainings count epochs and some iterations')
    return draw_curves(runs, metric, units[0])


def _read_batch(dataset: Dataset, size: int) -> dict:
    """A batch of images spread evenly over a data set, many of which are sorted by
    class; its images are a list."""
    indices = np.linspace(0, len(dataset) - 1, size).astype(int).tolist()
    return pseudo_collate([dataset[index] for index in indices])


def _ground_truth(info: dict) -> InstanceData:
    """The boxes of an image as mmdet's data set knows them, less ignored ones, in
    pixels of the file."""
    shown = [one for one in info.get('instances', ()) if not one['ignore_flag']]
    return InstanceData(
        bboxes=torch.tensor([one['bbox'] for one in shown]).reshape(-1, 4),
        labels=torch.tensor([one['bbox_label'] for one in shown], dtype=torch.long),
    )

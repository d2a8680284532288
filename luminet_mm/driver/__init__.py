"""From two model names and a data set to a distilled student: ``luminet distill``."""

from typing import Any, List

from .distillation import Distillation


def distill(
    teacher: str, student: str, *, dry_run: bool = False, **options: Any
) -> List[dict]:
    """Distil a student, as the command ``luminet distill`` does.

    Args:
        teacher (str): ``package::path.py`` of a model zoo, or a config file.
        student (str): The same.
        dry_run (bool): Whether only configs are written and checked. Defaults to False.
        **options: See :class:`Distillation`: ``coco`` or ``images``, ``methods``,
            ``teacher_ckpt``, ``alone``, ``epochs``, ``batch_size``, ``gpus``, ``jobs``,
            ``amp``, ``seed``, ``work_dir``, ``cfg_options``.

    Returns:
        list[dict]: A row for each training: name, metrics in percent, size, time, and
        where its checkpoint and the config for it are. Empty for a dry run.

    Raises:
        ValueError: For input that cannot work, before anything is trained, and with its
            last words where a training fails.
    """
    distillation = Distillation(teacher, student, **options)
    distillation.plan()
    if dry_run:
        print('\n'.join(distillation.commands()))
        return []
    return distillation.run()


__all__ = ['Distillation', 'distill']

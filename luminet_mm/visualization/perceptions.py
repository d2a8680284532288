import math
from typing import List, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from ..losses.functional import perception
from .figure import new_figure, to_image

LIMIT = 3  # standard deviations at which the colours end, the same in all pictures
FONT_SIZE = 7
LINE, LETTER = 11, 6  # pixels that a line and a letter of that size take


def draw_perceptions(
    preds_S: Tensor,
    preds_T: Tensor,
    labels: Optional[Tensor] = None,
    classes: Optional[Sequence[str]] = None,
    title: str = '',
    max_rows: int = 160,
) -> np.ndarray:
    """Draw the perceptions of teacher and student, and their difference.

    The matrices of Figure 3 of `LumiNet <https://arxiv.org/abs/2310.03669>`_: a
    column for each class, a row for each image or RoI. Rows stand in the order of
    their labels, so that what a model knows shows as blocks of red along the
    diagonal. Below each matrix is what the perception takes out of the logits, the
    mean and the standard deviation of each class over the batch (the bias of Figure
    2), and below the difference its mean size.

    Statistics are those of all rows. Of many rows some are shown, the same number
    of each label as far as there are so many.

    Args:
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        labels (Tensor, optional): Class index of each row, shape (N,); those beyond
            the names are background. Defaults to None, rows in their own order.
        classes (Sequence[str], optional): Names of the classes, C of them, or fewer
            where background is a column. Defaults to None, which shows their
            numbers.
        title (str): Stands above the number of rows. Defaults to none.
        max_rows (int): How many rows are shown, but at least one of each label.
            Defaults to 160, which fit on a screen.

    Returns:
        ndarray: RGB, uint8, shape (H, W, 3).

    Raises:
        ValueError: If there are no rows, or the shapes differ.
    """
    if preds_S.shape != preds_T.shape or not len(preds_S):
        raise ValueError(
            f'logits of shape {tuple(preds_S.shape)} (student) and '
            f'{tuple(preds_T.shape)} (teacher): they must be the same (N, C), N > 0'
        )
    logits = [preds.detach().float().cpu() for preds in (preds_T, preds_S)]
    num_rows, num_classes = logits[0].shape
    labels = logits[0].new_zeros(num_rows) if labels is None else labels.cpu()
    shown = select_rows(labels, max_rows)
    names = [_class_name(classes, index) for index in range(num_classes)]

    views = [perception(preds) for preds in logits]
    difference = views[1] - views[0]
    panels = {'teacher': views[0], 'student': views[1]}
    panels[f'student − teacher (mean size {difference.abs().mean():.3f})'] = difference

    width = min(max(num_classes * LINE, 260), 1000)
    height = min(max(len(shown) * 14, 260), 800)
    figure, matrices, strips, bar = _lay_out(width, height, max(map(len, names)))
    for axes, strip, (name, matrix) in zip(matrices, strips, panels.items()):
        mesh = axes.imshow(
            matrix[shown].numpy(),
            cmap='RdBu_r',
            vmin=-LIMIT,
            vmax=LIMIT,
            aspect='auto',
            interpolation='nearest',
        )
        axes.set_title(name, fontsize=11)
        axes.tick_params(length=0, labelsize=FONT_SIZE)
        axes.set_xticks([])
        axes.set_yticks([])
        strip.tick_params(length=2, labelsize=FONT_SIZE)
        strip.grid(axis='y', alpha=0.3)
    _draw_statistics(strips, logits, difference)
    if len(labels.unique()) > 1:
        _label_rows(matrices, labels[shown], classes, height)
    stride = math.ceil(num_classes * LINE / width)
    ticks = range(0, num_classes, stride)
    for strip in strips:
        strip.set_xlim(-0.5, num_classes - 0.5)
        strip.set_xticks(ticks, [names[tick] for tick in ticks], rotation=90)
    figure.colorbar(mesh, cax=bar, label='perception', extend='both')
    some = f'{len(shown)} of ' if len(shown) < num_rows else ''
    figure.suptitle(f'{title}{", " if title else ""}{some}{num_rows} rows')
    return to_image(figure)


def select_rows(labels: Tensor, max_rows: int) -> Tensor:
    """Choose the rows to be shown.

    Args:
        labels (Tensor): Class index of each row, shape (N,).
        max_rows (int): How many, but at least one of each label.

    Returns:
        Tensor: Indices of the rows, ordered by label and then as they were. Each
        label has the same number of them, spread evenly over all that it has, or
        all where it has fewer.
    """
    groups = [(labels == label).nonzero().flatten() for label in labels.unique()]
    quota = 1
    while quota < len(labels) and (
        sum(min(len(group), quota + 1) for group in groups) <= max_rows
    ):
        quota += 1
    return torch.cat(
        [
            group[torch.linspace(0, len(group) - 1, min(len(group), quota)).long()]
            for group in groups
        ]
    )


def _class_name(classes: Optional[Sequence[str]], index: int) -> str:
    if not classes or index < 0:
        return str(index)
    return str(classes[index]) if index < len(classes) else 'background'


def _lay_out(width: int, height: int, longest: int) -> tuple:
    """A figure with three matrices, three strips below and a colour bar.

    All places are given in pixels, so that pictures of one run lie upon each other.

    Args:
        width (int): Of a matrix.
        height (int): Of a matrix.
        longest (int): Letters of the longest name.
    """
    names = longest * LETTER + 12
    left, gap = max(names, 60), 64
    bottom, strip, top = names, 80, 84
    total = left + 3 * width + 2 * gap + 90, bottom + strip + 16 + height + top
    figure = new_figure(*total)

    def add(x, y, w, h):
        return figure.add_axes((x / total[0], y / total[1], w / total[0], h / total[1]))

    places = [left + index * (width + gap) for index in range(3)]
    matrices = [add(x, bottom + strip + 16, width, height) for x in places]
    strips = [add(x, bottom, width, strip) for x in places]
    bar = add(places[2] + width + 16, bottom + strip + 16, 16, height)
    return figure, matrices, strips, bar


def _draw_statistics(
    strips: Sequence, logits: List[Tensor], difference: Tensor
) -> None:
    """What is below the matrices, one bar a class."""
    columns = range(difference.shape[1])
    for strip, preds in zip(strips, logits):
        var, mean = torch.var_mean(preds, dim=0, unbiased=False)
        strip.bar(columns, mean.numpy(), 0.8, color='0.8')
        strip.errorbar(
            columns, mean.numpy(), var.sqrt().numpy(), fmt='none', ecolor='0.3', lw=1
        )
    strips[0].sharey(strips[1])
    strips[0].set_ylabel('logits,\nmean ± std', fontsize=FONT_SIZE)
    strips[2].bar(columns, difference.abs().mean(dim=0).numpy(), 0.8, color='0.6')
    strips[2].set_ylabel('mean size', fontsize=FONT_SIZE)


def _label_rows(
    axes: Sequence, labels: Tensor, classes: Optional[Sequence[str]], height: float
) -> None:
    """Name the groups of rows, as far as the names have room, and part them."""
    pixels = height / len(labels)
    ticks, names, start = [], [], 0
    for label, count in zip(*labels.unique_consecutive(return_counts=True)):
        centre = start + (int(count) - 1) / 2
        if not ticks or (centre - ticks[-1]) * pixels >= LINE:
            ticks.append(centre)
            names.append(_class_name(classes, int(label)))
        start += int(count)
        for ax in axes:
            ax.axhline(start - 0.5, color='0.5', lw=0.4)
    axes[0].set_yticks(ticks, names)

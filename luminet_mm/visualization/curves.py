import statistics
from typing import TYPE_CHECKING, Dict, Sequence

from .figure import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Validations = Dict[int, Dict[str, float]]


def draw_curves(
    runs: Dict[str, Sequence[Validations]], metric: str, unit: str = 'epoch'
) -> 'Figure':
    """Draw a validation metric of several trainings over their time.

    Args:
        runs (dict[str, Sequence[dict]]): Title of a training -> its repetitions, as
            :func:`luminet_mm.logs.read_validations` reads them. Several are drawn as
            their mean, in a band from the lowest to the highest, where all of them
            were validated.
        metric (str): Name of the metric in the log, e.g. 'coco/bbox_mAP'.
        unit (str): What the validations count. Defaults to 'epoch'.

    Returns:
        Figure: To be saved in any format that matplotlib knows, by ``savefig``.
    """
    figure = new_figure(700, 450, layout='constrained')
    axes = figure.add_subplot()
    for name, seeds in runs.items():
        measured = [{step for step in seed if metric in seed[step]} for seed in seeds]
        steps = sorted(set.intersection(*measured))
        values = [[seed[step][metric] for seed in seeds] for step in steps]
        means = [statistics.mean(of_step) for of_step in values]
        marker = 'o' if len(steps) <= 30 else None
        (line,) = axes.plot(steps, means, label=name, marker=marker, markersize=3.5)
        low, high = [min(of_step) for of_step in values], [max(v) for v in values]
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, lw=0)
    axes.set(xlabel=unit, ylabel=metric)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure

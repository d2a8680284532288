"""Figures without a window: matplotlib's global backend is never touched."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100


def new_figure(width: float, height: float, **kwargs: Any) -> 'Figure':
    """A figure that is drawn in memory.

    Args:
        width (float): In pixels.
        height (float): In pixels.
        **kwargs: As of matplotlib's ``Figure``.

    Returns:
        Figure: The figure, with its canvas.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, **kwargs)
    FigureCanvasAgg(figure)
    return figure


def to_image(figure: 'Figure') -> np.ndarray:
    """Draw a figure.

    Args:
        figure (Figure): From :func:`new_figure`.

    Returns:
        ndarray: RGB, uint8, shape (H, W, 3).
    """
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]

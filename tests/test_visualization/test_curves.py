"""Curves of validations."""

from luminet_mm.visualization import draw_curves


def test_mean_and_range_of_the_steps_that_all_have():
    first = {1: dict(ap=0.1, ar=9.0), 2: dict(ap=0.2), 3: dict(ar=5.0), 4: dict(ap=0.5)}
    second = {1: dict(ap=0.3), 2: dict(ap=0.6), 3: dict(ap=0.7)}
    figure = draw_curves(dict(kd=[first, second], alone=[first]), 'ap', 'iteration')
    (axes,) = figure.axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert curves == {
        'kd': [[1, 0.2], [2, 0.4]],
        'alone': [[1, 0.1], [2, 0.2], [4, 0.5]],
    }
    band = axes.collections[0].get_paths()[0].vertices.tolist()
    assert {tuple(point) for point in band} == {(1, 0.1), (1, 0.3), (2, 0.2), (2, 0.6)}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ('iteration', 'ap')
    assert [text.get_text() for text in axes.get_legend().texts] == ['kd', 'alone']

"""Logs as trainings leave them, whole or not."""

import json
import math

import pytest

from luminet_mm.logs import (
    read_last_test,
    read_last_validation,
    read_scalars,
    read_training_time,
    read_unit,
    read_validations,
)

LINES = [
    {'loss': 1.0, 'epoch': 1, 'iter': 5, 'step': 5},
    {'accuracy/top1': 40.0, 'step': 1},
    {'accuracy/top1': 50.0, 'step': 2},
]


def write(work_dir, text, start='20260101_000000'):
    path = work_dir / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(work_dir)


def as_text(*lines):
    return ''.join(json.dumps(line) + '\n' for line in lines)


@pytest.mark.parametrize('length', range(1, len(as_text(LINES[2]))))
def test_passes_over_what_a_kill_cut_off(length, tmp_path):
    cut = as_text(*LINES)[:-length]
    work_dir = write(tmp_path, cut)
    whole = length == 1  # but for its line feed
    assert list(read_scalars(work_dir)) == (LINES if whole else LINES[:2])
    assert read_last_validation(work_dir) == {'accuracy/top1': 50.0 if whole else 40.0}
    # what was resumed stands in a log of its own
    write(tmp_path, as_text(LINES[2]), start='20260102_000000')
    assert read_validations(work_dir) == {
        1: {'accuracy/top1': 40.0},
        2: {'accuracy/top1': 50.0},
    }


@pytest.mark.parametrize(
    'text', ['', '\n\n', '{', 'null\n3\n[1]\n', b'\xff\xfe{"a/b": 1', '{"a/b": 1}\n']
)
def test_a_log_without_a_validation(text, tmp_path):
    work_dir = write(tmp_path, text)
    assert read_validations(work_dir) == read_last_validation(work_dir) == {}
    assert read_unit(work_dir) == 'iteration'


def test_only_numbers_are_metrics(tmp_path):
    line = {
        'a/nan': math.nan,
        'a/list': [1],
        'a/text': 'x',
        'a/yes': True,
        'a/none': None,
    }
    (name, value), *others = read_last_validation(
        write(tmp_path, as_text({**line, 'step': 1}))
    ).items()
    assert name == 'a/nan' and math.isnan(value) and not others


@pytest.mark.parametrize('name', ['a [1] b', 'a*', 'a?', '[seed]', "it's", 'ä'])
@pytest.mark.parametrize('slash', ['', '/'])
def test_any_name_of_a_folder(name, slash, tmp_path):
    write(tmp_path / name, as_text(*LINES))
    assert read_last_validation(f'{tmp_path}/{name}{slash}') == {'accuracy/top1': 50.0}
    assert read_unit(f'{tmp_path}/{name}{slash}') == 'epoch'
    test = tmp_path / name / '20260103_000000' / '20260103_000000.json'
    test.parent.mkdir()
    test.write_text('{"accuracy/top1": 60.0}')
    assert read_last_test(f'{tmp_path}/{name}{slash}') == {'accuracy/top1': 60.0}


def test_the_last_test_that_is_whole(tmp_path):
    for start, text in (('20260101_000000', '{"a/b": 1}}'), ('20260102_000000', '{"a')):
        (tmp_path / start).mkdir()
        (tmp_path / start / f'{start}.json').write_text(text)
    assert read_last_test(tmp_path) == {'a/b': 1}


def test_training_time_is_that_of_all_starts(tmp_path):
    for start, times in ('20260101_000000', (0.5, 0.3)), ('20260102_000000', (0.2,)):
        folder = tmp_path / start / 'vis_data'
        folder.mkdir(parents=True)
        lines = [json.dumps(dict(loss=1.0, time=time)) for time in times]
        lines.append(json.dumps({'coco/bbox_mAP': 0.5, 'time': 100.0}))
        (folder / 'scalars.json').write_text('\n'.join(lines) + '\n')
    assert read_training_time(str(tmp_path), interval=10) == pytest.approx(10)

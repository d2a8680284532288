"""Folders that are there whole or not at all."""

import pytest

from luminet_mm.files import new_folder


def test_appears_when_it_is_complete(tmp_path):
    path = tmp_path / 'a b' / 'new'
    with new_folder(str(path)) as unfinished:
        with open(f'{unfinished}/file', 'w') as file:
            file.write('all')
        assert not path.exists()
    assert (path / 'file').read_text() == 'all'
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_left_of_what_failed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with new_folder(str(tmp_path / 'new')) as unfinished:
            open(f'{unfinished}/file', 'w').close()
            raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind', ['folder', 'file', 'link'])
def test_nothing_is_overwritten(kind, tmp_path):
    path = tmp_path / 'old'
    if kind == 'folder':
        path.mkdir()
    elif kind == 'file':
        path.write_text('old')
    else:
        path.symlink_to(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='old.* exists and is not overwritten'):
        with new_folder(str(path)):
            raise AssertionError('must not be reached')
    assert list(tmp_path.iterdir()) == [path]


def test_what_came_in_the_meantime_is_kept(tmp_path):
    path = tmp_path / 'new'
    with pytest.raises(ValueError, match='exists'):
        with new_folder(str(path)):
            path.mkdir()
    assert list(tmp_path.iterdir()) == [path]


def test_stale_leftovers_are_not_merged(tmp_path):
    for name in ('new.unfinished', 'new.unfinished-1'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'stale').write_text('')
    with new_folder(str(tmp_path / 'new')):
        pass
    assert not list((tmp_path / 'new').iterdir())

"""Each check has one error, with the key, the value and what would be right."""

import numpy as np
import pytest

from luminet_mm.checks import (
    arguments_of,
    check_arguments,
    check_boolean,
    check_choice,
    check_names,
    check_number,
    check_type,
    key_of,
    nearest,
    place,
)


@pytest.mark.parametrize('value', [1, 0.5, np.float32(0.5), np.int64(2)])
def test_numbers(value):
    check_number('k', value, above=0, at_most=2)


@pytest.mark.parametrize(
    ('value', 'error', 'message'),
    [
        ('2', TypeError, "k='2' must be a finite number above 0; .* remove the quotes"),
        (None, TypeError, 'k=None must be a finite number above 0$'),
        (True, TypeError, 'k=True must be'),
        ([1], TypeError, r'k=\[1\] must be'),
        (0, ValueError, 'k=0 must be a finite number above 0$'),
        (float('nan'), ValueError, 'k=nan must be'),
        (float('inf'), ValueError, 'k=inf must be'),
    ],
)
def test_wrong_numbers(value, error, message):
    with pytest.raises(error, match=message):
        check_number('k', value, above=0)


@pytest.mark.parametrize('value', [1.0, 1.5, '1', True])
def test_integers(value):
    check_number('k', 3, at_least=1, integer=True)
    with pytest.raises(TypeError, match='must be an integer of at least 1'):
        check_number('k', value, at_least=1, integer=True)


def test_others():
    check_boolean('k', False)
    with pytest.raises(
        TypeError, match="k='False' must be True or False; it is a text"
    ):
        check_boolean('k', 'False')
    check_type('k', {}, dict, 'a dict')
    with pytest.raises(TypeError, match=r'k=\[\] must be a dict'):
        check_type('k', [], dict, 'a dict')
    check_choice('k', 'mean', ('mean', 'sum'))
    with pytest.raises(ValueError, match="k='men'.* 'mean'"):
        check_choice('k', 'men', ('mean', 'sum'))
    with pytest.raises(ValueError, match="k has no setting 'tua', did you mean 'tau'"):
        check_names('k', ['tau', 'tua'], ['tau', 'eps'])
    assert nearest('zzz', ['tau', 'eps']) == ''


class Parent:
    def __init__(self, eps, *args):
        pass


class Child(Parent):
    def __init__(self, tau=1.0, **kwargs):
        super().__init__(**kwargs)


class Grandchild(Child):
    pass


class Open:
    def __init__(self, **kwargs):
        pass


class Bare:
    pass


def test_arguments_of_a_class_are_its_parents_too():
    for cls in (Child, Grandchild):
        assert arguments_of(cls) == ({'tau', 'eps'}, False)
        check_arguments('k', cls, ['type', 'eps', 'more'], allowed=['more'])
        with pytest.raises(ValueError, match="k has no setting 'tauu'.* _delete_=True"):
            check_arguments('k', cls, ['tauu'])
    check_arguments('k', Open, ['anything'])
    with pytest.raises(ValueError, match="no setting 'anything'"):
        check_arguments('k', Bare, ['anything'])


def test_the_place_of_a_setting():
    owner = Bare()
    assert key_of(owner, 'tau') == 'Bare.tau'
    with place('model.source'):
        assert key_of(owner, 'tau') == 'model.source.tau'
    assert key_of(owner, 'tau') == 'Bare.tau'

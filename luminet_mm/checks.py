"""Checks of what a config sets; each raises one error with key, value and remedy."""

import difflib
import inspect
import math
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real
from typing import (
    Any,
    Callable,
    Iterable,
    Iterator,
    List,
    Optional,
    Set,
    Tuple,
    Type,
    Union,
)

# *args and **kwargs
UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

_PLACE: ContextVar[Optional[str]] = ContextVar('place', default=None)


@contextmanager
def place(key: str) -> Iterator[None]:
    """Say which part of a config is being built, for :func:`key_of`.

    Args:
        key (str): Such as 'model.distill_losses.loss_kd'.
    """
    token = _PLACE.set(key)
    try:
        yield
    finally:
        _PLACE.reset(token)


def key_of(owner: Any, name: str) -> str:
    """Config key of a setting of the object that is being built.

    Args:
        owner (Any): The object; its class stands for the place that nobody named.
        name (str): The setting, e.g. 'tau'.

    Returns:
        str: Such as 'model.distill_losses.loss_kd.tau', or 'KDLoss.tau'.
    """
    return f'{_PLACE.get() or type(owner).__name__}.{name}'


def check_number(
    key: str,
    value: Any,
    above: Optional[float] = None,
    at_least: Optional[float] = None,
    at_most: Optional[float] = None,
    integer: bool = False,
) -> None:
    """Check a finite number.

    Args:
        key (str): Its config key.
        value (Any): What the config says.
        above (float, optional): It must be larger. Defaults to None, no bound.
        at_least (float, optional): Lowest. Defaults to None, no bound.
        at_most (float, optional): Highest. Defaults to None, no bound.
        integer (bool): Whether it must be a whole number. Defaults to False.

    Raises:
        TypeError: If it is no such number; a boolean is none.
        ValueError: If it is not finite or out of bounds.
    """
    bounds = [
        f'{word} {bound}'
        for word, bound in (
            ('above', above),
            ('of at least', at_least),
            ('of at most', at_most),
        )
        if bound is not None
    ]
    wanted = ' '.join(
        ['an integer' if integer else 'a finite number', ' and '.join(bounds)]
    ).rstrip()
    kind = Integral if integer else Real
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f'{key}={value!r} must be {wanted}{_hint(value, kind)}')
    if not (
        math.isfinite(value)
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (at_most is None or value <= at_most)
    ):
        raise ValueError(f'{key}={value!r} must be {wanted}')


def check_boolean(key: str, value: Any) -> None:
    """Check a boolean; the text 'False' would be taken for true.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(value, bool):
        hint = _hint(value, bool)
        raise TypeError(f'{key}={value!r} must be True or False{hint}')


def check_type(
    key: str, value: Any, kinds: Union[Type, Tuple[Type, ...]], wanted: str
) -> None:
    """Check the type of a value.

    Args:
        key (str): Its config key.
        value (Any): What the config says.
        kinds (type | tuple[type, ...]): As ``isinstance`` takes them.
        wanted (str): What would be right, e.g. 'a dict of named losses'.

    Raises:
        TypeError: If it is of another type.
    """
    if not isinstance(value, kinds):
        raise TypeError(f'{key}={value!r} must be {wanted}')


def check_choice(key: str, value: Any, known: Iterable[str]) -> None:
    """Check a value that is one of a few names.

    Raises:
        ValueError: If it is none of them, with the nearest where one is like it.
    """
    known = tuple(known)
    if value not in known:
        hint = nearest(value, known)
        raise ValueError(f'{key}={value!r} must be one of {known}{hint}')


def check_layers(key: str, layers: Any) -> List[Tuple[str, str]]:
    """Check pairs of places in student and teacher.

    Args:
        key (str): Their config key.
        layers (Any): What the config says.

    Returns:
        list[tuple[str, str]]: The pairs.

    Raises:
        TypeError, ValueError: If it is no list of at least one pair of texts.
    """
    wanted = "a list of pairs (student's, teacher's), e.g. [('neck', 'neck')]"
    check_type(key, layers, (list, tuple), wanted)
    for pair in layers:
        check_type(key, pair, (list, tuple), wanted)
        if len(pair) != 2 or not all(isinstance(name, str) for name in pair):
            raise ValueError(f'{key}={layers!r} must be {wanted}')
    if not layers:
        raise ValueError(f'{key}={layers!r} must be {wanted}')
    return [tuple(pair) for pair in layers]


def check_names(key: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Check names against those that there are.

    Args:
        key (str): The config key that holds them.
        given (Iterable[str]): What the config says.
        known (Iterable[str]): All that are right.

    Raises:
        ValueError: For the first unknown name, with the nearest of the known ones.
    """
    known = sorted(known)
    for name in given:
        if name not in known:
            raise ValueError(
                f'{key} has no setting {name!r}{nearest(name, known)}; there are '
                f'{", ".join(known)}. Where a base config brought it, set '
                '_delete_=True beside the new settings'
            )


def check_arguments(
    key: str, call: Callable, given: Iterable[str], allowed: Iterable[str] = ()
) -> None:
    """Check the names of keyword arguments before a call.

    Args:
        key (str): The config key that holds them.
        call (Callable): A class or function; of a class whose ``__init__`` takes
            ``**kwargs`` the parents' arguments count, too.
        given (Iterable[str]): Names that the config sets.
        allowed (Iterable[str]): Other names that are right. Defaults to none.

    Raises:
        ValueError: As :func:`check_names`. Nothing is raised where the outermost
            parent takes any argument.
    """
    known, is_open = arguments_of(call)
    if not is_open:
        check_names(key, given, {'type', *allowed, *known})


def arguments_of(call: Callable) -> Tuple[Set[str], bool]:
    """Names of the arguments that a class or function takes.

    Args:
        call (Callable): As of :func:`check_arguments`.

    Returns:
        tuple[set[str], bool]: The names, and whether it takes any other, too.
    """
    names: Set[str] = set()
    is_open = False
    for cls in call.__mro__ if inspect.isclass(call) else (call,):
        function = vars(cls).get('__init__') if inspect.isclass(cls) else cls
        if function is None or cls is object:
            continue
        parameters = inspect.signature(function).parameters.values()
        names |= {p.name for p in parameters if p.kind not in UNNAMED} - {'self'}
        is_open = any(p.kind == p.VAR_KEYWORD for p in parameters)
        if not is_open:
            break
    return names, is_open


def nearest(name: str, known: Iterable[str]) -> str:
    """Hint at the known name that is most like another, or ''."""
    found = difflib.get_close_matches(str(name), list(known), n=1)
    return f', did you mean {found[0]!r}?' if found else ''


def _hint(value: Any, kind: Type) -> str:
    if not isinstance(value, str):
        return ''
    wanted = 'boolean' if kind is bool else 'number'
    return f'; it is a text, so remove the quotes if it is meant as a {wanted}'

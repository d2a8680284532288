"""``--cfg-options``: settings of a config that a command overrides."""

import argparse
import ast
import inspect
import os.path as osp
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set

import mmengine.config
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner
from mmengine.utils import import_modules_from_strings

from .checks import nearest
from .config import load_cfg, load_inline_cfg, named_models

# What of a config mmengine's runners, or our tools, read.
RUN_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    *inspect.signature(FlexibleRunner.__init__).parameters,
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'init_weights_for_test_or_val',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
} - {'self', 'cfg'}
BRACKETS = ('[]', '()')
# mmengine reads all indices of a model zoo for each base that is there, half a second
_find_base = lru_cache(maxsize=None)(Config._get_cfg_path)


class DictAction(mmengine.config.DictAction):
    """Reads ``--cfg-options KEY=VALUE``; as mmengine's, but texts stay as they are.

    mmengine takes all spaces out of a value. Here only those go that surround a value
    or an item of a list, and what stands in quotes is one text, whatever is in it:
    ``"model.teacher_ckpt='a,b.pth'"`` in a shell.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: Optional[str] = None,
    ) -> None:
        """Add the options to those that the namespace has."""
        options = dict(getattr(namespace, self.dest) or {})
        for option in values:
            key, equals, value = option.partition('=')
            if not key.strip() or not equals:
                parser.error(
                    f'{option_string} {option!r} is no KEY=VALUE; put a value that '
                    'has spaces in quotes'
                )
            options[key.strip()] = parse_value(value)
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """Read a value of ``--cfg-options``.

    Args:
        text (str): E.g. '3', 'None', 'a,b', '[(1, 2), c]', or "'a, b'" for a text.

    Returns:
        Any: A number, boolean, None or text, or a list or tuple of such.
    """
    text = text.strip()
    if text[:1] in ('"', "'") and len(text) > 1 and text[-1] == text[0]:
        inner = text[1:-1]
        # as mmengine's help writes a list
        return parse_value(inner) if inner[:1] + inner[-1:] in BRACKETS else inner
    items = _split(text)
    wrapped = len(items) == 1 and text[:1] + text[-1:] in BRACKETS
    if wrapped:
        items = _split(text[1:-1])
    elif len(items) == 1:
        return mmengine.config.DictAction._parse_int_float_bool(text)
    values = [parse_value(item) for item in items if item.strip()]
    return tuple(values) if wrapped and text[0] == '(' else values


def _split(text: str) -> List[str]:
    """Split at commas that are in no brackets and no quotes."""
    items, depth, quote = [''], 0, ''
    for char in text:
        if quote:
            quote = '' if char == quote else quote
        elif char in ('"', "'") and not items[-1].strip(' [('):
            quote = char  # within a word it is an apostrophe
        else:
            depth += (char in '[(') - (char in '])')
        if char == ',' and not depth and not quote:
            items.append('')
        else:
            items[-1] += char
    return items


def load_run_cfg(path: str, options: Optional[Dict[str, Any]] = None) -> Config:
    """Load the config of a run and override settings.

    A variable of a config file is overridden where it is assigned. So what the files
    make of it, as ``train_cfg = dict(max_epochs=max_epochs)``, is made of the new
    value, in the files that a distiller's models name (``cfg_path``), too. A new
    ``data_root`` also takes the place of the old one wherever a text begins with that,
    as in a config that was dumped.

    Args:
        path (str): The config file.
        options (dict, optional): Dotted keys and values, as :class:`DictAction` reads
            them. Defaults to None. ``data_root`` needs no slash at its end.

    Returns:
        Config: The whole config.

    Raises:
        ValueError: If the file cannot be read, an option is misspelt, or nothing in
            the run reads it.
    """
    options = dict(options or {})
    if isinstance(options.get('data_root'), str):
        options['data_root'] = osp.join(options['data_root'], '')
    with _assigning({}):
        plain = load_cfg(path, 'config')
    for key in options:
        root = key.split('.')[0]
        if root not in plain and root not in RUN_KEYS:
            raise ValueError(
                f'--cfg-options {key}: neither {path} nor the runner knows {root!r}'
                f'{nearest(root, {*plain, *RUN_KEYS})}'
            )
    variables = {k: v for k, v in options.items() if _is_variable(plain, k, v)}
    cfg = plain
    if options:
        cfg = _override(path, plain, options, variables)
    if any(key.startswith('custom_imports.') for key in options):
        import_modules_from_strings(**cfg.custom_imports)  # too late for the file
    for key, value in variables.items():
        root = key.split('.')[0]
        if root in RUN_KEYS or plain[root] == value:
            continue
        others = {k: v for k, v in variables.items() if k != key}
        if _run_of(cfg) == _run_of(_override(path, plain, options, others)):
            raise ValueError(
                f'--cfg-options {key}={value!r} has no effect: nothing that the runner '
                f'reads is made of {root!r} in {path}; override what it was meant for'
            )
    return cfg


def _run_of(cfg: Config) -> dict:
    return {key: value for key, value in cfg.to_dict().items() if key in RUN_KEYS}


def _override(path: str, plain: Config, options: dict, variables: dict) -> Config:
    """The config with all options, of which some are assigned in its files."""
    try:
        with _assigning(variables):
            cfg = load_cfg(path, 'config')
    except ValueError as error:
        raise ValueError(f'with --cfg-options {variables}: {error}') from None
    if 'data_root' in variables and plain.data_root:
        _replace_prefix(cfg._cfg_dict, plain.data_root, variables['data_root'])
    cfg.merge_from_dict(options)
    for key, model in named_models(cfg):
        if variables and osp.isfile(model.get('cfg_path', '')):
            with _assigning({}):
                usual = load_inline_cfg(cfg, model, key)
            with _assigning(variables):
                other = load_inline_cfg(cfg, model, key)
            if other != usual:
                model.update(other, _delete_=True)  # of what the name stands for
    return cfg


def _is_variable(cfg: Config, key: str, value: Any) -> bool:
    """Whether an option is one to be assigned in the files; others are merged alone."""
    root, dotted, _ = key.partition('.')
    if root not in cfg or (dotted and root in RUN_KEYS):
        return False
    # a child may add to a list, which None would not let it
    merged = (dict, list, tuple) if value is None else dict
    return bool(dotted) or not isinstance(cfg[root], merged)


@contextmanager
def _assigning(variables: Dict[str, Any]) -> Iterator[None]:
    """Have config files see values in place of those that they assign.

    mmengine copies each text file, replaces placeholders such as ``{{fileDirname}}`` in
    the copy, and parses that. Here it also gets the new value behind each assignment.
    """
    replace_placeholders = Config._substitute_predefined_vars
    done: Set[str] = set()

    def replace_and_assign(filename: str, copied: str) -> None:
        replace_placeholders(filename, copied)
        if filename.endswith('.py'):
            with open(copied, encoding='utf-8') as file:
                text = file.read()
            with open(copied, 'w', encoding='utf-8') as file:
                file.write(_assign_behind(text, variables, done))

    find_base = Config._get_cfg_path
    Config._substitute_predefined_vars = staticmethod(replace_and_assign)
    Config._get_cfg_path = staticmethod(_find_base)
    try:
        yield
    finally:
        Config._substitute_predefined_vars = staticmethod(replace_placeholders)
        Config._get_cfg_path = staticmethod(find_base)


def _assign_behind(text: str, variables: Dict[str, Any], done: Set[str]) -> str:
    """Add assignments to a config's text.

    Args:
        text (str): Python.
        variables (dict): Values of top-level names, or of a part of one (dotted).
        done (set[str]): Names that a file which inherits from this one assigns; a part
            of such a one may not exist here. Those of this text are added.

    Returns:
        str: The text, each assignment of a name followed by that of its new value.
    """
    lines = text.split('\n')
    found = set()
    for node in reversed(ast.parse(text).body):
        if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            continue
        targets = getattr(node, 'targets', None) or [node.target]
        names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        for key, value in variables.items():
            root, *parts = key.split('.')
            if root in names and not (parts and root in done):
                index = ''.join(f'[{p if p.isdigit() else repr(p)}]' for p in parts)
                # repr of an infinite number is no Python
                value = f"float('{value}')" if isinstance(value, float) else repr(value)
                line = lines[node.end_lineno - 1].encode()
                end = node.end_col_offset  # in bytes
                statement = f'; {root}{index} = {value}'.encode()
                line = line[:end] + statement + line[end:]
                lines[node.end_lineno - 1] = line.decode()
                found.add(root)
    done |= found
    return '\n'.join(lines)


def _replace_prefix(node: Any, old: str, new: str) -> Any:
    """Replace a prefix in all strings of nested dicts and lists, in place."""
    if isinstance(node, str):
        done = new.startswith(old) and node.startswith(new)
        return new + node[len(old) :] if node.startswith(old) and not done else node
    if isinstance(node, dict):
        for key in node:
            node[key] = _replace_prefix(node[key], old, new)
    elif isinstance(node, list):
        node[:] = [_replace_prefix(item, old, new) for item in node]
    return node

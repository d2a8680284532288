"""docs/methods.md has every method; formulas and costs are those of their sources."""

import ast
import inspect
import re
from pathlib import Path

from test_tools import ROOT

from luminet_mm import losses

PAGE = Path(ROOT, 'docs', 'methods.md').read_text()


def test_every_loss_has_its_section():
    titles = re.findall('(?m)^### (.*)', PAGE)
    for name in losses.__all__:
        is_base = name in ('LogitLoss', 'FeatureLoss')
        if inspect.isclass(getattr(losses, name)) and not is_base:
            assert any(f'`{name}`' in title for title in titles), name


def test_formulas_are_those_of_the_docstrings():
    on_page = ''.join(PAGE.split())
    formulas = 0
    for path in Path(losses.__file__).parent.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                text = ast.get_docstring(node) or ''
                for formula in re.findall(r'\.\. math:: (.*?)(?:\n\n|\Z)', text, re.S):
                    formulas += 1
                    assert ''.join(formula.split()) in on_page, node.name
    assert formulas > 15


def test_costs_are_those_that_were_measured():
    measured = Path(ROOT, 'docs', 'results', 'features.md').read_text()
    columns = {}
    for cells in rows(measured, 'ms/batch'):
        columns[cells[0]] = (cells[4], cells[5], cells[6])
    costs = [tuple(cells[1:]) for cells in rows(PAGE, 'peak MiB')]
    assert sorted(costs) == sorted(columns.values())


def rows(page, title):
    """Cells of the rows of the page's table with this column."""
    (table,) = re.findall(rf'(?m)^\|.*{title}.*\n\|-.*\n((?:\|.*\n)+)', page)
    return [
        [cell.strip() for cell in row.strip('|').split('|')]
        for row in table.splitlines()
    ]

"""The site: `make docs` builds it, with warnings as errors, into docs/_build."""

import os.path as osp
import sys

from docutils import nodes
from sphinx import addnodes

REPOSITORY = osp.dirname(osp.dirname(osp.abspath(__file__)))
sys.path.insert(0, REPOSITORY)

from luminet_mm import __version__  # noqa: E402

project = 'luminet_mm'
author = 'luminet_mm contributors'
release = __version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'luminet_mm {release}'

# Pages are written for GitHub, too: formulas between dollars, anchors of headings
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

# Docstrings say the types, and what they do not describe is upstream's own
autodoc_typehints = 'none'
autodoc_inherit_docstrings = False
autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_member_order = 'groupwise'
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# A reference to this project's own must lead somewhere; other packages are not asked
nitpicky = True
nitpick_ignore_regex = [(r'py:.*', r'(?!luminet_mm).*')]


def name_what_is_no_page(app, doctree):
    """Links to folders of the repository, and to pages beyond docs/, become paths."""
    here = osp.dirname(app.env.doc2path(app.env.docname))
    for link in list(doctree.findall(addnodes.pending_xref)):
        target = link['reftarget']
        if target.endswith('/'):
            found = osp.normpath(osp.join(here, target))
        elif osp.isabs(target):  # what MyST makes of a page that is not below docs/
            found = f'{target}.md'
        else:
            continue
        if osp.exists(found):
            path = osp.relpath(found, REPOSITORY)
            known = path in link.astext()
            where = [] if known else [nodes.Text(' '), nodes.literal('', path)]
            link.replace_self([*link.children, *where])


def setup(app):
    app.connect('doctree-read', name_what_is_no_page)

"""The documentation: `python -m tox -e docs` builds it, without a network, warnings being errors."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from numpyml import __version__  # the wheel's: tox keeps the checkout's packages out of sight

project = "numpyml"
author = "The numpyml developers"
copyright = "The numpyml developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "generated",
    "mathml",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# Markdown: formulas between dollars and directives between colons, both of which GitHub shows as well as it can.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

# The reference: classes as they are exported, in the order of their files.
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("Array", "ArrayLike", "Axis", "DTypeLike")}
autodoc_mock_imports = ["sklearn", "torch"]  # hundreds of megabytes for base classes and annotations
maximum_signature_line_length = 88
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False

# A reference that leads nowhere is an error; types of other packages are no pages here.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|np|collections|typing|torch|sklearn|tokenizers|os|pathlib|types|contextlib)\b.*"),
    (r"py:.*", r"Activation|Betas|Finite|Flag|NonNegative"),  # the types of options
    (r"py:.*", r"(ArrayLike|Axis|DTypeLike|NDArray|Array|Any|Callable|Generator|dtype|random\.Generator|Path|Buffers)"),
    (r"py:.*", r"TypeAliasForwardRef|.*\.[MT]|.*\bNode|.*\._\w+|numpyml\.nn\.optimizers\.flat\.Run"),
]

highlight_language = "none"  # a block without a language is a formula

html_theme = "furo"
html_title = "numpyml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5fa6", "color-brand-content": "#1d5fa6"},
    "dark_css_variables": {"color-brand-primary": "#80b6f2", "color-brand-content": "#80b6f2"},
    "navigation_with_keys": True,
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp, .go"
copybutton_selector = "div.highlight-python pre, div.highlight-bash pre"

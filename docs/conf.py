"""The site: ``pip install '.[docs]'``, then ``sphinx-build -W docs build/site``."""

from sphinx.application import Sphinx

from nacd_bench import __version__

project = "nacd-bench"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
templates_path = ["templates"]
exclude_patterns = ["templates"]
html_theme = "furo"
html_title = f"nacd-bench {version}"
html_copy_source = False
myst_heading_anchors = 4
autodoc_member_order = "bysource"
suppress_warnings = [
    "ref.ref",  # labels of Lightning's own site in a docstring that is inherited
    "misc.highlighting_failure",  # csv
]

ELSEWHERE = {
    "../CONTRIBUTING.md": "contributing.md",
    "../codecs/hyperprior/README.md": "hyperprior.md",
    "../nacd_bench/sample/README.md": "sample.md",
}
"""Pages of the repository that lie outside of this folder, and those of the site that hold them."""


def point_inside(app: Sphinx, name: str, text: list[str]) -> None:
    """Links that work on the repository's page lead to the site's own pages here."""
    for path, page in ELSEWHERE.items():
        text[0] = text[0].replace(f"]({path}", f"]({page}")


def point_inside_of_included(app: Sphinx, included: object, name: str, text: list[str]) -> None:
    for path, page in ELSEWHERE.items():
        text[0] = text[0].replace(f"]({path.removeprefix('../')}", f"]({page}")


def setup(app: Sphinx) -> None:
    app.connect("source-read", point_inside)
    app.connect("include-read", point_inside_of_included)

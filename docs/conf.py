"""The site of the repository's Markdown. docs/CMakeLists.txt lays out the sources as the repository has them."""
import pathlib
import re

from docutils import nodes
from sphinx import addnodes

project = "distill"
author = copyright = "the authors of distill"
extensions = ["myst_parser", "breathe", "sphinx_copybutton", "sphinx.ext.mathjax"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "examples/**/README.md", "tests/golden/README.md", "api/**", "losses/**"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
breathe_default_project = "distill"
breathe_show_include = False
highlight_language = "none"
mathjax_path = "mathjax/MathJax.js?config=TeX-AMS_CHTML"
mathjax2_config = {"messageStyle": "none", "showMathMenu": False, "CommonHTML": {"scale": 92}}
myst_update_mathjax = False

html_theme = "furo"
html_title = "distill"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False

FAMILIES = {"logits": "Class scores", "features": "Features", "attention": "Attention", "relations": "Relations"}


def api_pages(source, xml):
    """A page for each header that has something for users: its group in Doxygen's output is not empty."""
    groups = (xml / "index.xml").read_text()
    for folder in [*FAMILIES, "core", "adapters"]:
        index = f"{folder}/\n{'=' * 12}\n\n.. toctree::\n\n"
        for header in sorted((source / "include/distill" / folder).glob("*.hpp")):
            group = f"{folder}_{header.stem}"
            refid = f"group__{group.replace('_', '__')}"
            if refid not in groups or not re.search("<innerclass|<memberdef", (xml / f"{refid}.xml").read_text()):
                continue
            title = f"{folder}/{header.name}"
            page = f"{title}\n{'=' * len(title)}\n\n.. code-block:: cpp\n\n   #include <distill/{title}>\n"
            for about in (f"docs/losses/{header.stem}", f"docs/adapters/{header.stem}"):
                if (source / f"{about}.md").exists():
                    page += f"\nAbout it: :doc:`/{about}`\n"
            page += f"\n.. doxygengroup:: {group}\n   :content-only:\n   :members:\n   :undoc-members:\n"
            yield f"api/{folder}/{header.stem}.rst", page
            index += f"   {folder}/{header.stem}\n"
        yield f"api/{folder}.rst", index


def family_pages(source):
    """The losses in the order of the README's table, which tests/layout/check.cmake keeps whole."""
    rows = re.findall(r"^\| \[`(\w+)/(\w+)\.hpp`\]\(.*?\) \| (.*?`)(:?) (.*) \| (.*) \|$", (source / "README.md").read_text(),
                      flags=re.MULTILINE)
    for family, title in FAMILIES.items():
        table, pages = "", ""
        for folder, name, loss, _, what, gradient in rows:
            if folder == family:
                table += f"| [{loss}](../docs/losses/{name}.md) | {what} | {gradient} |\n"
                pages += f"/docs/losses/{name}\n"
        yield (f"losses/{family}.md", f"# {title}\n\n| loss | computes | gradient |\n|---|---|---|\n{table}\n"
               f"```{{toctree}}\n:hidden:\n\n{pages}```\n")


def write_pages(app):
    """Leaves pages alone that are the same, so that they are not built again."""
    source = pathlib.Path(app.srcdir)
    pages = dict([*api_pages(source, pathlib.Path(app.config.breathe_projects["distill"])), *family_pages(source)])
    for page in [*source.glob("api/**/*.rst"), *source.glob("losses/*.md")]:
        if str(page.relative_to(source)) not in pages:
            page.unlink()
    for name, text in pages.items():
        page = source / name
        page.parent.mkdir(parents=True, exist_ok=True)
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def link_headers(app, doctree):
    """Links to a header lead to its page; those to other files of the repository remain downloads."""
    for link in list(doctree.findall(addnodes.download_reference)):
        header = re.search(r"include/distill/(\w+/\w+)\.hpp$", link["reftarget"])
        if header and pathlib.Path(app.srcdir, f"api/{header[1]}.rst").exists():
            link.replace_self(addnodes.pending_xref(
                "", nodes.inline("", "", *link.children), refdomain="std", reftype="doc", reftarget=f"/api/{header[1]}",
                refexplicit=True, refwarn=True, refdoc=app.env.docname))


def write_front_door(app, failure):
    pathlib.Path(app.outdir, "index.html").write_text(
        '<!doctype html><meta charset="utf-8"><title>distill</title>'
        '<meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">distill</a>\n')


def setup(app):
    app.connect("builder-inited", write_pages)
    app.connect("doctree-read", link_headers)
    app.connect("build-finished", write_front_door)

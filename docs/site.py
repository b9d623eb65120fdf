"""What the site adds to this folder: the API from docstrings, and pages that are kept elsewhere.

Hooks of MkDocs, see `mkdocs.yml`. Pages are written for GitHub as well, where links lead to files
of the repository, and a list may follow a paragraph at once.
"""

import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any

from docs.generate import PublicName, public_names
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
SOURCE = "https://github.com/fedket/fedket/blob/main"

ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "results/README.md": "results.md",
}
"""File of the repository -> page of the site."""

ROOMS = {
    "experiment": "Experiments",
    "federated": "Federation",
    "secure": "Sums, masks, privacy, attacks",
    "quantum": "Circuits",
    "models": "Models",
    "bridges": "Circuits written elsewhere",
    "data": "Data and partitions",
    "topology": "Graphs",
    "keys": "Keys",
    "": "Types and the rest",
}
"""Room of the package -> title of its page of the API."""


def on_config(config: Any) -> Any:
    """Put the pages of the API into the navigation."""
    (reference,) = [part["Reference"] for part in config.nav if "Reference" in part]
    reference.insert(1, {"Python": [{title: _api_page(room)} for room, title in ROOMS.items()]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in this folder, and the pictures of the results."""
    for path, page in ELSEWHERE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_linked(text, page, Path(path).parent)))
    for notebook in (ROOT / "examples/notebooks").glob("*.ipynb"):
        page = f"notebooks/{notebook.stem}.md"
        files.append(File.generated(config, page, content=_as_page(notebook)))
    for picture in (ROOT / "results").rglob("*.svg"):
        page = picture.relative_to(ROOT).as_posix()
        files.append(File.generated(config, page, abs_src_path=str(picture)))
    for room, names in groupby(sorted(public_names(), key=_room), key=_room):
        parts = [f"# {ROOMS[room]}", *(f"::: {name.home}.{name.name}" for name in names)]
        files.append(File.generated(config, _api_page(room), content="\n\n".join(parts)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make what was written for GitHub right for the site."""
    uri = page.file.src_uri
    if uri not in ELSEWHERE.values():
        markdown = _linked(markdown, uri, "docs" / Path(uri).parent)
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _lists_apart(part) for part in parts)


def _as_page(notebook: Path) -> str:
    """A notebook, which is kept without outputs, as a page."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    shown = [f"```python\n{text}\n```" if kind == "code" else text for kind, text in texts]
    link = f"[This page is a notebook]({SOURCE}/examples/notebooks/{notebook.name}), run in CI."
    return "\n\n".join([*shown, link])


def _api_page(room: str) -> str:
    return f"api/{room or 'types'}.md"


def _room(name: PublicName) -> str:
    room = name.home.split(".")[1]
    return room if room in ROOMS else ""


def _lists_apart(text: str) -> str:
    """An empty line before a list that follows a paragraph."""
    paragraph, item = r"(?!\s|[-*] |\d+\. |\|)", r"[-*] |1\. "
    return re.sub(rf"^({paragraph}.+\n)(?={item})", r"\1\n", text, flags=re.MULTILINE)


def _linked(text: str, page: str, folder: Path) -> str:
    """Links relative to a folder of the repository, as links of a page of the site."""
    up = "../" * page.count("/")

    def place(found: re.Match[str]) -> str:
        target = (ROOT / folder / found[1]).resolve()
        if not target.exists():  # the strict build says so
            return found[0]
        name = target.relative_to(ROOT).as_posix()
        anchor = found[2] or ""
        if name.startswith("docs/"):
            return f"]({up}{name.removeprefix('docs/')}{anchor})"
        if name.startswith("results/") and target.suffix == ".svg":
            return f"]({up}{name})"
        return f"]({up}{ELSEWHERE[name]}{anchor})" if name in ELSEWHERE else f"]({SOURCE}/{name})"

    return re.sub(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)", place, text)

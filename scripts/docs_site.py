"""A hook of mkdocs: pages may link to files of the project outside docs/, which the site holds.

In the repository `../scenarios/chat.yaml` is the file; in the site it is a copy, at the same path
below the site's root.
"""

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

_ROOT: Final = Path(__file__).parents[1]
_DOCS: Final = _ROOT / "docs"
_LINK: Final = re.compile(r"(?<=\]\()((?:\.\./)+)([^)\s#]+)")


def _outside(page: Path, link: str) -> str | None:
    """The path of what a page links to, from the project's root; None if it lies in docs/."""
    target = (page.parent / link).resolve()
    if target.is_relative_to(_DOCS) or not target.is_relative_to(_ROOT):
        return None
    return target.relative_to(_ROOT).as_posix()


def on_files(files: Files, config: Any) -> Files:
    """Adds what is linked to."""
    for page in sorted(_DOCS.rglob("*.md")):
        for up, path in _LINK.findall(page.read_text(encoding="utf-8")):
            outside = _outside(page, up + path)
            if outside and files.get_file_from_path(outside) is None:
                files.append(File.generated(config, outside, abs_src_path=str(_ROOT / outside)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to it, from where the page lies in the site."""
    file = _DOCS / page.file.src_uri

    def inside(match: re.Match[str]) -> str:
        outside = _outside(file, match[1] + match[2])
        depth = len(Path(page.file.src_uri).parents) - 1
        return "../" * depth + outside if outside else match[0]

    return _LINK.sub(inside, markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Without the one script that the theme's plugin for offline use fetches from the network, a
    stand-in for workers where a browser starts none from a disk."""
    return re.sub(r"<script[^>]*src=.?https?://[^>]*></script>", "", output)


on_post_template = on_post_page  # the page for what is not found

"""Writes the vendor's document as Markdown and as one HTML page.

Every text in it was written by somebody else, so all of it is escaped: a usage text can neither
break a table nor carry a script. The page needs no network and prints on paper. Pure.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from shotfs.pathspec.vendor_guide import (
    Block,
    Bullets,
    Code,
    Grid,
    Heading,
    Line,
    Listing,
    Paragraph,
)

_MARKS = re.compile(r"([\\`*_{}\[\]<>|#~])")
_SPACE = re.compile(r"\s+")
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; break-after: avoid; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; padding-bottom: .25rem; }
code, pre { font: .9em/1.4 ui-monospace, monospace; background: #f4f4f2; }
code { padding: .1em .25em; overflow-wrap: anywhere; }
pre { padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; break-inside: avoid; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
         border-bottom: 1px solid #ddd; }
tr { break-inside: avoid; }
thead { display: table-header-group; }
@media print { body { font-size: 10pt; margin: 0; max-width: none; }
               code, pre { background: none; } pre { border: 1px solid #ccc; } }
"""


def markdown(blocks: Sequence[Block]) -> str:
    """Return *blocks* as Markdown with GitHub's tables."""
    return "\n\n".join(_markdown_block(block) for block in blocks) + "\n"


def _markdown_block(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {_markdown_line(text)}"
        case Paragraph(text):
            return _markdown_line(text)
        case Bullets(items):
            return "\n".join(f"- {_markdown_line(item)}" for item in items)
        case Listing(lines):
            fence = "`" * max(3, 1 + max(_longest_run(line) for line in lines))
            return "\n".join((fence, *map(_one_line, lines), fence))
        case Grid(head, rows):
            made = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
            made += [f"| {' | '.join(map(_markdown_line, row))} |" for row in rows]
            return "\n".join(made)


def _markdown_line(line: Line) -> str:
    return "".join(_markdown_span(span) for span in line)


def _markdown_span(span: str | Code) -> str:
    if isinstance(span, str):
        return _MARKS.sub(r"\\\1", _one_line(span))
    text = _one_line(span.text)
    fence = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    # GitHub cuts table cells before it looks at code, so a bar is escaped there too.
    return f"{fence}{space}{text}{space}{fence}".replace("|", "\\|")


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _one_line(text: str) -> str:
    return _SPACE.sub(" ", text)


def page(blocks: Sequence[Block], title: str) -> str:
    """Return *blocks* as one HTML page without any outside resource."""
    body = "\n".join(line for block in blocks for line in _html_block(block))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _html_block(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, text):
            yield f"<h{level}>{_html_line(text)}</h{level}>"
        case Paragraph(text):
            yield f"<p>{_html_line(text)}</p>"
        case Bullets(items):
            yield "<ul>"
            yield from (f"<li>{_html_line(item)}</li>" for item in items)
            yield "</ul>"
        case Listing(lines):
            yield "<pre>" + "\n".join(html.escape(line) for line in lines) + "</pre>"
        case Grid(head, rows):
            yield "<table>"
            cells = "".join(f"<th>{html.escape(one)}</th>" for one in head)
            yield f"<thead><tr>{cells}</tr></thead>"
            yield "<tbody>"
            for row in rows:
                cells = "".join(f"<td>{_html_line(cell)}</td>" for cell in row)
                yield f"<tr>{cells}</tr>"
            yield "</tbody>"
            yield "</table>"


def _html_line(line: Line) -> str:
    return "".join(
        html.escape(span) if isinstance(span, str) else f"<code>{html.escape(span.text)}</code>"
        for span in line
    )

"""``shotfs spec``: check a path specification and try it out.

The group only: each command is in a module of its own, named after it.
"""

from __future__ import annotations

import typer

from shotfs.cli import (
    aliases,
    spec_check,
    spec_diff,
    spec_explain,
    spec_export,
    spec_import,
    spec_lint,
    spec_paths,
    spec_reload,
    spec_sequence,
)

app = typer.Typer(help="Check and try out a path specification.", no_args_is_help=True)

app.command()(spec_check.check)
app.command()(spec_check.schema)
app.command()(spec_explain.explain)
app.command("format")(spec_paths.format_path)
app.command()(spec_paths.parse)
app.command()(spec_sequence.sequence)
app.command()(spec_diff.diff)
app.command()(spec_export.export)
app.command()(spec_lint.lint)
app.command()(spec_reload.reload)
app.command()(aliases.aliases)
app.add_typer(spec_import.app, name="import")

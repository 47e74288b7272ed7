#!/usr/bin/env bash
# What python-and-rsync.trace.gz was recorded of, from the project's root: programs that open the
# same modules again and again, and copies of a large tree between them.
# Recorded with strace (files below the project, 150 s), not through a mount: opens, no reads.
set -eu
out=$(mktemp -d)
for part in '[a-c]*' '[d-i]*' '[j-p]*' '[q-z]*'; do
  for _ in 1 2 3; do
    .venv/bin/python -m shotfs --help > /dev/null
    .venv/bin/python -c "import rich.table, pydantic, hypothesis"
  done
  rsync -a --exclude=__pycache__ --include='*/' --include="$part" --exclude='*' \
    .venv/lib/python3.11/site-packages/ "$out/copy"
  rm -r "$out/copy"
done
rm -r "$out"

"""The entry point of tools/demo: ready to be interrupted before anything else happens."""

from __future__ import annotations

import sys

from running import interrupts


def main() -> int:
    """Run the demo; return the exit code."""
    if len(sys.argv) > 1:
        print(f"tools/demo: unknown argument: {sys.argv[1]}", file=sys.stderr)
        print("  fix: tools/demo --help", file=sys.stderr)
        return 2
    interrupts.install()
    try:
        from demo.run import run

        return run()
    except interrupts.Interrupted as interrupted:
        print(f"\n{interrupted}: unmounted and stopped everything", file=sys.stderr)
        return interrupted.exit_code


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `python -m wharfie`, or `wharfie`."""

from __future__ import annotations

import sys

from ._wharfie import main as _main


def main() -> int:
    """Runs it with this process's arguments. Answers the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return _main(["wharfie", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())

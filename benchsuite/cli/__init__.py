"""The command line: a few lines each over the library, one module a family of commands.

Everything heavy is imported inside the command that needs it, so that `--help` is instant. A
command is one function; `entry.py` lists the families.
"""

from benchsuite.cli.entry import app, main

__all__ = ["app", "main"]

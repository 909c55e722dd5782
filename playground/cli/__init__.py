"""The command line: a function is a verb, its docstring its help.

Nothing heavy is imported before a verb runs, so that `playground --help` answers at once.
"""

from playground.cli.app import main as main

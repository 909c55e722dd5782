"""The command line, called in this process."""

from dataclasses import dataclass

import pytest

from playground.cli import main


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a call gave."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *words: object) -> Said:
    """Run `playground WORDS...`."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return Said(code=code, out=out, err=err)

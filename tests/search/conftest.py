"""A sweep that nobody disturbs, for those that somebody does."""

import pytest

from tests.search.killing import Command


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Command:
    command = Command(folder=tmp_path_factory.mktemp("whole") / "out")
    command.undisturbed()
    return command

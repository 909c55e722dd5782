"""A folder of compiled programs that survives a kill.

A process killed while torch.compile writes leaves half a library behind, on which every later
process fails. So each process holds a slot of its own, marked while something is compiled; a slot
whose mark was left by a process that is gone is emptied before it is used again.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from torch._dynamo.callback import CallbackArgs, callback_handler
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

log = logging.getLogger(__name__)

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_MOST_SLOTS = 1024
_held: list[Path] = []  # not empty while this process has a slot


def cache_root() -> Path:
    """The folder of all slots of this user."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"playground-compiled-{user}"


@contextmanager
def compile_cache(root: Path | None = None) -> Iterator[Path | None]:
    """Within it torch.compile keeps its programs in a slot of this process.

    A folder that the user chose by TORCHINDUCTOR_CACHE_DIR is left as it is (None is given).

    Args:
        root: folder of the slots; None for `cache_root()`.
    """
    before = os.environ.get(VARIABLE)
    if _held or before not in (None, default_cache_dir()):  # torch sets its default there itself
        yield None
        return
    lock, slot = _free_slot(root or cache_root())
    mark = slot.with_suffix(".busy")
    if mark.exists():
        log.warning("%s: its process was killed; the compiled programs there are dropped", slot)
        shutil.rmtree(slot, ignore_errors=True)
        mark.unlink()
    slot.mkdir(exist_ok=True)
    _held.append(slot)
    os.environ[VARIABLE] = str(slot)
    try:
        with _marked_while_compiling(mark):
            yield slot
    finally:
        os.environ.pop(VARIABLE)
        _held.clear()
        lock.release()


@contextmanager
def _marked_while_compiling(mark: Path) -> Iterator[None]:
    """Within it the file `mark` exists while torch.compile is at work."""

    def begin(args: CallbackArgs) -> None:
        mark.touch()

    def end(args: CallbackArgs) -> None:
        mark.unlink(missing_ok=True)

    callback_handler.register_start_callback(begin)
    callback_handler.register_end_callback(end)
    try:
        yield
    finally:
        # torch.compiler.reset() may have taken them away already
        if begin in callback_handler.start_callbacks:
            callback_handler.remove_start_callback(begin)
            callback_handler.remove_end_callback(end)


def _free_slot(root: Path) -> tuple[FileLock, Path]:
    """The first slot that no living process holds, and its lock."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(_MOST_SLOTS):
        lock = FileLock(root / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock, root / str(number)
    raise RuntimeError(f"{root}: all {_MOST_SLOTS} slots are in use")

"""These tests are collected in the interpreter's own process only; see `test_interpreter.py`."""

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]

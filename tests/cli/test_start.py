"""What `playground --help` may load: nothing heavy."""

import subprocess
import sys

HEAVY = {"torch", "numpy", "tensordict", "omegaconf", "rich", "matplotlib", "scipy", "yaml"}


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from playground.cli import main; code = main(['--help']);"
        "print(code, *sorted(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert HEAVY.isdisjoint(loaded)

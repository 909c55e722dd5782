"""The C++ compiler that torch.compile needs on a CPU: which one, or how to get one."""

import os
import platform
import shutil
from pathlib import Path

from playground.errors import LoweringError

COMPILERS = ("g++", "clang++", "c++")

_ADVICE = {
    "debian": "sudo apt-get install g++",
    "fedora": "sudo dnf install gcc-c++",
    "arch": "sudo pacman -S gcc",
    "alpine": "apk add g++",
    "suse": "sudo zypper install gcc-c++",
}
_FAMILIES = {"ubuntu": "debian", "rhel": "fedora", "centos": "fedora", "opensuse": "suse"}


def find_compiler() -> str | None:
    """The C++ compiler torch.compile would call: CXX, or the first of COMPILERS; None without."""
    named = os.environ.get("CXX", "").split()
    for name in (named[0],) if named else COMPILERS:
        if found := shutil.which(name):
            return found
    return None


def require_compiler() -> str:
    """The C++ compiler.

    Raises:
        LoweringError: there is none; it names the way around it and how to get one.
    """
    found = find_compiler()
    if found is None:
        asked = os.environ.get("CXX")
        raise LoweringError(
            "compile",
            f"CXX={asked} is no C++ compiler here."
            if asked
            else "compiling needs a C++ compiler on a CPU, and none is installed.",
            fix=f"Run without it (--no-compile or compile=false), or get one: {install_command()}",
        )
    return found


def compiler_command() -> list[str]:
    """How the compiler is called: CXX with all its words, such as ccache g++.

    Raises:
        LoweringError: there is none.
    """
    return [require_compiler(), *os.environ.get("CXX", "").split()[1:]]


def install_command() -> str:
    """The command that installs a C++ compiler on this system; all of them if it is unknown."""
    if platform.system() == "Darwin":
        return "xcode-select --install, or: brew install llvm"
    if platform.system() == "Windows":
        return "winget install LLVM.LLVM"
    for name in _linux_names():
        family = _FAMILIES.get(name, name)
        if family in _ADVICE:
            return _ADVICE[family]
    return "; ".join(_ADVICE.values())


def _linux_names() -> list[str]:
    """This distribution's own name, then those it is like."""
    path = Path("/etc/os-release")
    if not path.is_file():
        return []
    entries = dict(
        line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line
    )
    names = f"{entries.get('ID', '')} {entries.get('ID_LIKE', '')}"
    return names.replace('"', "").replace("'", "").split()

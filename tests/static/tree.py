# SPDX-License-Identifier: Apache-2.0
"""Reading the checkout, for the static tests. Needs no git: a release archive is tested the same way."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CXX = {".cpp", ".hpp", ".h", ".c"}
_SKIPPED = re.compile(r"build(-.*)?$|\.git$|\.venv$|__pycache__$|\.cache$")

# A digit separator (1'000) must not open a character literal, so numbers are tokens of their own.
_TOKEN = re.compile(
    r"""(?P<number>\b\d[\w.']*)"""
    r"""|(?P<literal>R"(?P<raw>[^\s()\\]{0,16})\(.*?\)(?P=raw)"|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+')"""
    r"""|(?P<comment>//[^\n]*|/\*.*?\*/)""", re.DOTALL)


def files(root: Path = ROOT, *, under: str = "", suffixes=None):
    """The files of the tree below `under`, sorted, without build folders."""
    for folder, names, entries in os.walk(root / under):
        names[:] = sorted(name for name in names if not _SKIPPED.match(name))
        for entry in sorted(entries):
            if suffixes is None or Path(entry).suffix in suffixes:
                yield Path(folder) / entry


def without_literals(text: str) -> str:
    """C++ text with the content of string and character literals removed, comments kept."""
    return _TOKEN.sub(lambda found: '""' if found["literal"] else found[0], text)


def map_comments(text: str, change) -> str:
    """C++ text with each comment replaced by `change(comment)`."""
    return _TOKEN.sub(lambda found: change(found[0]) if found["comment"] else found[0], text)


def code_only(text: str) -> str:
    """C++ text without comments and without the content of literals; lines keep their numbers."""
    def blank(found):
        if found["number"]:
            return found[0]
        return ('""' if found["literal"] else " ") + "\n" * found[0].count("\n")
    return _TOKEN.sub(blank, text)

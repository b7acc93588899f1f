# SPDX-License-Identifier: Apache-2.0
"""House rules that a compiler does not know."""

import os
import re
import subprocess
import unittest
from pathlib import Path

from tree import CXX, ROOT, code_only, files, map_comments, without_literals

OURS = ("include", "src", "bindings", "examples", "fuzz", "tests", ".ci")
DATA = re.compile(r"tests/(.*/)?(vectors|golden|testdata)/|fuzz/(corpus|dict)/")
SCRIPTS = {".py", ".sh"}
TEXT = CXX | SCRIPTS | {".md", ".txt", ".cmake", ".in", ".json", ".toml", ".yml", ""}

MACHINE_PATH = re.compile(r"/(?:work|farm|tmp/research|root)/")
FORMULA_SIGNS = {0x2016: " ", 0x00D7: " ", 0x00B7: " "}  # concatenation, times, scalar multiplication
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")
# `snprintf` formats into memory and is fine; a member that happens to be called `signal` is somebody's own.
NOT_IN_A_LIBRARY = re.compile(
    r"std::(?:cout|cerr|clog|wcout|print|println|abort|exit|quick_exit|terminate|async|system)\b|std::j?thread\b(?!::)"
    r"|(?<![\w.])(?<!->)(?:v?f?printf|puts|fputs|putchar|perror|abort|_?exit|quick_exit|fork|vfork|signal|sigaction"
    r"|pthread_create|system|popen)\s*\(")


def sources():
    """(path relative to the tree, text) of everything people wrote, data left out."""
    paths = [path for top in OURS for path in files(under=top, suffixes=TEXT)]
    paths += [path for path in ROOT.iterdir() if path.is_file() and path.suffix in TEXT and path.name != ".git"]
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if not DATA.search(name):
            yield name, path.read_text(encoding="utf-8")


def lacks_licence(name, text):
    script = Path(name).suffix in SCRIPTS or text.startswith("#!")
    if not script and Path(name).suffix not in CXX:
        return False
    lines = text.split("\n")[1 if text.startswith("#!") else 0:]
    return not lines or lines[0] != ("#" if script else "//") + " SPDX-License-Identifier: Apache-2.0"


def beyond_ascii(name, text):
    """C++ text is ASCII, but for test data in literals, and the two signs of the formulas in comments."""
    if Path(name).suffix not in CXX:
        return False
    text = map_comments(text, lambda comment: comment.translate(FORMULA_SIGNS))
    return not (without_literals(text) if name.startswith("tests/") else text).isascii()


def forbidden_calls(name, text):
    if not name.startswith("src/") or name.startswith("src/cli/") or Path(name).suffix not in CXX:
        return []
    return NOT_IN_A_LIBRARY.findall(code_only(text))


def foreign_symbols(listing):
    """Names in the output of `nm -DC --defined-only` that are not ours."""
    found = []
    for line in listing.splitlines():
        _, kind, name = line.split(maxsplit=2)
        plain = re.sub(r"^(?:typeinfo (?:name )?for|vtable for|VTT for|guard variable for|(?:non-)?virtual thunk to|"
                       r"construction vtable for) ", "", name)
        ours = re.match(r"(?:[\w:<>*& ,]+ )?casevault::|casevault_\w+$", plain)  # a template shows its return type first
        standard = kind in "VWu" and re.search(r"\b(?:std|__gnu_cxx)::|^operator (?:new|delete)", plain)
        if not ours and not standard:
            found.append(f"{kind} {name}")
    return found


class Source(unittest.TestCase):
    def test_each_source_names_its_licence_first(self):
        self.assertEqual([name for name, text in sources() if lacks_licence(name, text)], [])

    def test_no_path_of_a_machine_is_in_the_tree(self):
        self.assertEqual([f"{name}: {found[0]}" for name, text in sources() if (found := MACHINE_PATH.search(text))], [])

    def test_nothing_is_left_unfinished_by_its_own_words(self):
        self.assertEqual([f"{name}: {found[0]}" for name, text in sources() if (found := UNFINISHED.search(text))], [])

    def test_cpp_text_is_ascii(self):
        self.assertEqual([name for name, text in sources() if beyond_ascii(name, text)], [])

    def test_the_library_neither_prints_nor_aborts_nor_starts_anything(self):
        self.assertEqual([f"{name}: {found}" for name, text in sources() if (found := forbidden_calls(name, text))], [])

    def test_the_shared_library_exports_only_its_own_names(self):
        library = os.environ.get("CASEVAULT_LIBRARY", "")
        if ".so" not in library:
            self.skipTest("no shared library was built")
        listing = subprocess.run(["nm", "-DC", "--defined-only", library], check=True, capture_output=True, text=True).stdout
        self.assertEqual(foreign_symbols(listing), [])


class SelfTest(unittest.TestCase):
    LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"

    def test_licence_line(self):
        self.assertFalse(lacks_licence("src/a.cpp", self.LICENCE))
        self.assertFalse(lacks_licence("dev", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"))
        self.assertTrue(lacks_licence("src/a.cpp", "\n" + self.LICENCE))
        self.assertTrue(lacks_licence("tests/a.py", "import os\n"))

    def test_words_and_paths(self):
        self.assertTrue(MACHINE_PATH.search("see /" + "work/main/x"))
        self.assertTrue(UNFINISHED.search("// TO" + "DO: later"))
        self.assertFalse(UNFINISHED.search("todos"))

    def test_letters_beyond_ascii(self):
        self.assertTrue(beyond_ascii("src/a.cpp", 'f("\u00e9");'))
        self.assertTrue(beyond_ascii("tests/a.cpp", "// \u00e9\nf(1'000);"))
        self.assertTrue(beyond_ascii("src/a.cpp", 'f("\u2016");  // bytes'))
        self.assertTrue(beyond_ascii("src/a.cpp", "f();  // \u202e"))
        self.assertFalse(beyond_ascii("src/a.cpp", "f();  // salt \u2016 key"))
        self.assertFalse(beyond_ascii("tests/a.cpp", 'f(1\'000, "\u00e9\\"\u00e9", u8R"x(\u00e9")x");'))

    def test_forbidden_calls(self):
        for text in ("std::cout << 1;", "printf(text);", "::abort();", "if (::fork() == 0) {}", "std::thread t;",
                     "signal(SIGPIPE, SIG_IGN);", "std::exit(1);", "_exit(1);", "fprintf(stderr, text);"):
            with self.subTest(text=text):
                self.assertTrue(forbidden_calls("src/vault/a.cpp", text))
        for text in ("std::snprintf(a, b);", "exit_code(1);", "// abort()\n", 'say("abort()");', "pthread_atfork(a);",
                     "std::this_thread::yield();", "std::thread::id writer;", "gate.signal();", "Error(\"signal(\")", "n = 1'000; f('x');"):
            with self.subTest(text=text):
                self.assertFalse(forbidden_calls("src/vault/a.cpp", text))
        self.assertFalse(forbidden_calls("src/cli/main.cpp", "std::cout << 1;"))

    def test_symbols(self):
        self.assertEqual(foreign_symbols(
            "0001 T casevault::Schema::parse(std::basic_string_view<char>)\n0002 V typeinfo for casevault::Exception\n"
            "0003 W std::vector<int>::~vector()\n0004 W void std::__sort<int*>(int*)\n"
            "0005 W std::optional<int> casevault::f<int>()\n"), [])
        for line in ("0001 T helper(int)", "0001 T std::vector<int>::x()", "0001 W toml::v3::parse(char)", "0001 B counter"):
            with self.subTest(line=line):
                self.assertEqual(len(foreign_symbols(line + "\n")), 1)


if __name__ == "__main__":
    unittest.main()

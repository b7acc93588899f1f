# SPDX-License-Identifier: Apache-2.0
"""SECURITY.md names, for each promise, tests that try to break it. Those tests exist."""

import ast
import json
import os
import re
import subprocess
import unittest

from tree import ROOT, files

HEADING = "## Promises and their attacks"
PROMISES = {"sealed", "bound", "compartmented", "traced", "tamper-evident", "private log", "rotatable", "erasable", "durable",
            "robust", "quiet"}
MAY_WAIT = {"rotatable", "erasable", "search", "hand-over"}  # the only rows that may say "not yet"

TEST_CASE = re.compile(r'\b(?:TEMPLATE_(?:PRODUCT_|LIST_)?)?(?:TEST_CASE|SCENARIO)(?:_METHOD)?\s*\(\s*(?:[\w:]+\s*,\s*)?'
                       r'((?:"(?:[^"\\\n]|\\.)*"\s*)+)')


def rows(text):
    """(promise, tests) of each row of the table under the heading."""
    section = re.split(r"^## ", text.split(HEADING, 1)[1], maxsplit=1, flags=re.MULTILINE)[0] if HEADING in text else ""
    table = [line.strip().strip("|") for line in section.splitlines() if line.strip().startswith("|")]
    for line in table[2:]:
        promise, _, tests = line.partition("|")
        yield promise.strip().strip("*`").lower().replace("private-log", "private log"), tests


def catch_titles(text):
    """Titles of the Catch2 tests in a source file."""
    for found in TEST_CASE.findall(text):
        yield "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', found)).replace('\\"', '"').replace("\\\\", "\\")


def unittest_methods(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            yield node.name


def ctest_names():
    """Empty when this file is run by hand, without a build folder."""
    build = os.environ.get("CASEVAULT_BUILD_DIR")
    if not build:
        return
    for configuration in ([], ["-C", "Long"]):
        listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1", *configuration], check=True,
                                 capture_output=True, text=True).stdout
        yield from (test["name"] for test in json.loads(listing)["tests"])


def problems(text, known):
    found, seen = [], set()
    for promise, tests in rows(text):
        seen.add(promise)
        named = re.findall(r"`([^`]+)`", tests)
        found += [f"{promise}: no test is named '{name}'" for name in named if name not in known]
        if "not yet" in re.sub(r"`[^`]+`", "", tests).lower():
            if promise not in MAY_WAIT:
                found.append(f"{promise}: may not wait")
        elif not named:
            found.append(f"{promise}: names no test")
    return found + [f"{promise}: has no row" for promise in sorted(PROMISES - seen)]


class SecurityTable(unittest.TestCase):
    def test_every_promise_has_tests_that_exist(self):
        known = set(ctest_names())
        for path in files(under="tests", suffixes={".cpp"}):
            known.update(catch_titles(path.read_text(encoding="utf-8")))
        for top in ("tests", "bindings"):
            for path in files(under=top, suffixes={".py"}):
                known.update(unittest_methods(path.read_text(encoding="utf-8")))
        self.assertEqual(problems((ROOT / "SECURITY.md").read_text(encoding="utf-8"), known), [])


    def test_every_test_of_a_folder_with_promises_is_in_one_of_its_groups(self):
        folders = 0
        for listing in ROOT.glob("tests/*/CMakeLists.txt"):
            found = re.search(r"PROMISES([^)]*)", listing.read_text(encoding="utf-8"))
            if not found:
                continue
            folders += 1
            promises = {"".join(pair) for pair in re.findall(r'"([^"]+)"|([\w-]+)', found.group(1))}
            self.assertLessEqual(promises, PROMISES)
            seen = {title.split(": ")[0] for path in listing.parent.glob("*.cpp")
                    for title in catch_titles(path.read_text(encoding="utf-8"))}
            self.assertEqual(seen, promises, listing.parent.name)
        self.assertGreater(folders, 0)


class SelfTest(unittest.TestCase):
    def table(self, **changed):
        cells = {promise: "`a test`" for promise in PROMISES} | {key.replace("_", " "): cell for key, cell in changed.items()}
        lines = "".join(f"| **{promise}** | {cell} |\n" for promise, cell in cells.items() if cell is not None)
        return f"# Security\n\n{HEADING}\n\nWords.\n\n| promise | tests |\n|---|---|\n{lines}\n## Next\n| x | `y` |\n"

    def test_a_sound_table_passes(self):
        self.assertEqual(problems(self.table(rotatable="`a test`; rotation of old cells: not yet", search="Not yet"),
                                  {"a test"}), [])

    def test_gaps_are_caught(self):
        for changed in ({"sealed": "`no such test`"}, {"sealed": "not yet"}, {"sealed": "trust us"}, {"private_log": None}):
            with self.subTest(**changed):
                self.assertEqual(len(problems(self.table(**changed), {"a test"})), 1)
        self.assertEqual(len(problems("# Security\n", {"a test"})), len(PROMISES))

    def test_titles_are_read_from_the_sources(self):
        text = 'TEST_CASE("one \\"quoted\\"", "[tag]") {}\nTEST_CASE_METHOD(Fixture, "two "\n   "halves") {}\n'
        self.assertEqual(list(catch_titles(text)), ['one "quoted"', "two halves"])
        self.assertEqual(list(unittest_methods("class A:\n  def test_x(self): pass\n  def helper(self): pass\n")), ["test_x"])


if __name__ == "__main__":
    unittest.main()

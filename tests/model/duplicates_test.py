# SPDX-License-Identifier: Apache-2.0
"""Duplicates are found in invented registers in which it is known who is recorded twice. The figures are printed."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import people

TOOL = sys.argv.pop()
DEFAULT_SCORE = 0.5
ROOT = Path(__file__).resolve().parents[2]


def found_in(path, score=DEFAULT_SCORE):
    done = subprocess.run([TOOL, path, str(score)], capture_output=True, text=True, check=True)
    lines = [line.split(" ", 3) for line in done.stdout.splitlines()]
    return [(int(a), int(b), float(score), why) for a, b, score, why in lines]


class Figures(unittest.TestCase):
    def measure(self, seed, count):
        rows, truth = people.register(seed, count)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "register.csv"
            with open(path, "w", encoding="utf-8", newline="") as file:
                people.write(rows, file)
            pairs = found_in(path)
        found = {(a, b) for a, b, _, _ in pairs}
        of = {kind: {(a, b) for each, a, b in truth if each == kind} for kind in ("same", "siblings", "twins")}
        figures = {"recall": len(found & of["same"]) / len(of["same"]), "precision": len(found & of["same"]) / max(1, len(found)),
                   "siblings": len(found & of["siblings"]) / len(of["siblings"]), "twins": len(found & of["twins"]) / len(of["twins"])}
        print(f"seed {seed}, {len(rows)} rows, {len(of['same'])} recorded twice:",
              ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        return figures

    def test_most_people_recorded_twice_are_found_and_few_others(self):
        for seed in (1, 2, 3):
            with self.subTest(seed=seed):
                figures = self.measure(seed, 2000)
                self.assertGreaterEqual(figures["recall"], 0.9)
                self.assertGreaterEqual(figures["precision"], 0.8)

    def test_a_large_register_is_no_harder(self):
        figures = self.measure(4, 20000)
        self.assertGreaterEqual(figures["recall"], 0.9)
        self.assertGreaterEqual(figures["precision"], 0.8)
        self.assertLess(figures["siblings"], 0.02)
        self.assertLess(figures["twins"], 0.2)


class Register(unittest.TestCase):
    """Who is twice in the register of the tests is not known; what is certain can be asked for all the same."""

    def test_pairs_come_in_order_with_reasons_and_more_of_them_for_a_lower_score(self):
        path = ROOT / "tests/data/registry_vn.csv"
        pairs = found_in(path)
        print(f"{len(pairs)} pairs in the register of 2,000")
        self.assertGreater(len(pairs), 40)
        self.assertLess(len(pairs), 90)
        self.assertEqual([(a, b) for a, b, _, _ in pairs], sorted({(a, b) for a, b, _, _ in pairs}))
        for a, b, score, why in pairs:
            self.assertLess(a, b)
            self.assertTrue(DEFAULT_SCORE <= score <= 1)
            self.assertTrue(why)
        lower = found_in(path, 0.01)
        self.assertGreater(len(lower), len(pairs))
        self.assertLessEqual({(a, b) for a, b, _, _ in pairs}, {(a, b) for a, b, _, _ in lower})

    def test_an_empty_register_has_no_pairs(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "register.csv"
            path.write_text(",".join(people.COLUMNS) + "\n", encoding="utf-8")
            self.assertEqual(found_in(path, 0), [])


if __name__ == "__main__":
    unittest.main()

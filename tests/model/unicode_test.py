# SPDX-License-Identifier: Apache-2.0
"""Folding agrees with Python's unicodedata, an implementation of its own, over all code points that both know."""

import itertools
import random
import subprocess
import sys
import unicodedata
import unittest

TOOL = sys.argv.pop()

MAPPED = str.maketrans("\u00d0\u00f0\u0189\u0256", "\u0110\u0111\u0110\u0111")
APOSTROPHES = set("\u02b9\u02bb\u02bc\u02bd\u02c8")
# Default_Ignorable_Code_Point beyond category Cf, which unicodedata does not know.
IGNORABLE = {chr(point) for first, last in [
    (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF)] for point in range(first, last + 1)}
SPACES = set("\t\n\v\f\r\x85")


def separates(char):
    if char in APOSTROPHES or char in SPACES:
        return True
    noncharacter = ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF
    return noncharacter or unicodedata.category(char)[0] in "ZPS"


def expected(text):
    """NFKC, drop, map, NFD, split, full case folding, NFD. A mark on nothing is no letter, nor becomes one."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(c for c in text if c in SPACES or not (unicodedata.category(c) in ("Cf", "Cc") or c in IGNORABLE))
    text = unicodedata.normalize("NFD", text.translate(MAPPED))
    syllables = "".join("\0" if separates(c) else c for c in text).split("\0")
    based = ["".join(itertools.dropwhile(lambda c: unicodedata.category(c)[0] == "M", s)) for s in syllables]
    return "\0".join(unicodedata.normalize("NFD", s.casefold()) for s in based if s)


def points(text):
    return "".join(f"{ord(c):X} " for c in text)


def fold(texts):
    done = subprocess.run([TOOL], input="".join(points(t) + "\n" for t in texts), capture_output=True, text=True, check=True)
    version, *lines = done.stdout.splitlines()
    return version, lines


def known(version):
    """All code points that both know; a newer Python has letters that are unassigned in the tables."""
    newer = tuple(map(int, unicodedata.unidata_version.split("."))) > tuple(map(int, version.split(".")))
    listing = subprocess.run([TOOL, "unassigned"], capture_output=True, text=True, check=True).stdout.split() if newer else []
    unassigned = {int(p, 16) for p in listing}
    return [chr(p) for p in range(0x110000) if not 0xD800 <= p <= 0xDFFF and p != 0xFFFD and p not in unassigned
            and unicodedata.category(chr(p)) != "Cn"]


class Agreement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        version, _ = fold([])
        cls.chars = known(version)

    def agree(self, texts):
        _, lines = fold(texts)
        self.assertEqual(len(lines), len(texts))
        wrong = [(points(t), line, points(expected(t))) for t, line in zip(texts, lines)
                 if line != (points(expected(t)) or "refused")]
        self.assertEqual(wrong[:10], [])

    def test_each_code_point_alone(self):
        self.agree(self.chars)

    def test_each_code_point_between_letters(self):
        self.agree(["a" + c + "b" for c in self.chars])

    def test_marks_in_any_order(self):
        marks = [c for c in self.chars if unicodedata.combining(c)]
        chance = random.Random(3)
        self.agree([chance.choice("aeo\u03b1\u0e01\u304b\u00e9\u1f80") + "".join(chance.choices(marks, k=chance.randint(2, 6)))
                    for _ in range(20000)])

    def test_words_of_anything(self):
        chance = random.Random(4)
        self.agree(["".join(chance.choices(self.chars, k=chance.randint(1, 12))) for _ in range(20000)])

    def test_folding_again_changes_nothing(self):
        _, first = fold(self.chars)
        texts = ["".join(chr(int(p, 16)) if p != "0" else " " for p in line.split()) for line in first if line != "refused"]
        _, again = fold(texts)
        self.assertEqual([a for a, line in zip(again, (line for line in first if line != "refused")) if a != line][:10], [])

    def test_vietnamese_letters_in_all_forms(self):
        bases = ["a", "a\u0306", "a\u0302", "e", "e\u0302", "i", "o", "o\u0302", "o\u031b", "u", "u\u031b", "y"]
        letters = [b + t for b, t in itertools.product(bases, ["", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"])]
        letters += [letter.upper() for letter in letters]
        forms = [unicodedata.normalize(form, letter) for letter in letters for form in ("NFC", "NFD")]
        self.agree(forms)
        _, lines = fold(forms)
        self.assertEqual(lines[0::2], lines[1::2])
        self.assertEqual(len(set(lines)), 72)


if __name__ == "__main__":
    unittest.main()

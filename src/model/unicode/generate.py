#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tables.cpp from the Unicode character database (Debian package unicode-data), of exactly the version below:
other tables are other keys. A new version is a new kNormaliserVersion.

    generate.py FOLDER [OUTPUT]      FOLDER is where UnicodeData.txt and its sisters lie, e.g. /usr/share/unicode

What the tables say of a code point: what it is to the normaliser, its canonical combining class, and what it becomes:
NFKD, then the letters of MAPPED, then full case folding, then NFD. U+0345 alone is left as it is, because folding makes a letter
of it that marks must not be sorted past: fold.cpp does that last.
"""

import re
import sys
from pathlib import Path

VERSION = "15.0.0"
LAST = 0x10FFFF
BLOCK = 64  # code points in a block of the second stage

SEPARATOR, LETTER, UNASSIGNED, MARK, ACCENT, DROPPED = range(6)

# Eth, African D and their kin look like the Vietnamese letter; typists take what their keyboard has.
MAPPED = {0x00D0: 0x0110, 0x00F0: 0x0111, 0x0189: 0x0110, 0x0256: 0x0111}
# Letters by category, used as apostrophes.
APOSTROPHES = {0x02B9, 0x02BB, 0x02BC, 0x02BD, 0x02C8}
# Marks that a keyboard without diacritics leaves out. Vowel signs and the like of other scripts carry the name itself.
ACCENTS = [(0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F)]
IOTA_SUBSCRIPT = 0x0345


def rows(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line:
            yield [cell.strip() for cell in line.split(";")]


def span(text):
    first, _, last = text.partition("..")
    return range(int(first, 16), int(last or first, 16) + 1)


def having(path, wanted):
    return {point for cells in rows(path) if cells[1] == wanted for point in span(cells[0])}


class Database:
    def __init__(self, folder):
        first = (folder / "CaseFolding.txt").read_text(encoding="utf-8").splitlines()[0]
        found = re.search(r"\d+\.\d+\.\d+", first)
        if not found or found[0] != VERSION:
            raise SystemExit(f"{folder} holds Unicode {found[0] if found else '?'}, the tables are of {VERSION}")
        self.category, self.ccc, self.decomposition = {}, {}, {}
        first_of_range = None
        for cells in rows(folder / "UnicodeData.txt"):
            point = int(cells[0], 16)
            if cells[1].endswith(", First>"):
                first_of_range = point
                continue
            for each in range(point if first_of_range is None else first_of_range, point + 1):
                self.category[each] = cells[2]
            first_of_range = None
            if cells[3] != "0":
                self.ccc[point] = int(cells[3])
            if cells[5]:
                self.decomposition[point] = [int(part, 16) for part in cells[5].split() if not part.startswith("<")]
        self.canonical = {point for cells in rows(folder / "UnicodeData.txt")
                          for point in [int(cells[0], 16)] if cells[5] and not cells[5].startswith("<")}
        self.folding = {int(cells[0], 16): [int(part, 16) for part in cells[2].split()]
                        for cells in rows(folder / "CaseFolding.txt") if cells[1] in "CF"}
        self.spaces = having(folder / "PropList.txt", "White_Space")
        self.noncharacters = having(folder / "PropList.txt", "Noncharacter_Code_Point")
        self.ignorable = having(folder / "DerivedCoreProperties.txt", "Default_Ignorable_Code_Point")

    def decompose(self, point, compatible):
        parts = self.decomposition.get(point)
        if parts is None or not (compatible or point in self.canonical):
            return [point]
        return [each for part in parts for each in self.decompose(part, compatible)]

    def kind(self, point):
        category = self.category.get(point, "Cn")
        if point in self.noncharacters or point in APOSTROPHES or point in self.spaces:
            return SEPARATOR
        if category in ("Cc", "Cf") or point in self.ignorable:
            return DROPPED
        if category in ("Cn", "Co"):
            return UNASSIGNED
        if category[0] == "M":
            return ACCENT if any(first <= point <= last for first, last in ACCENTS) else MARK
        return LETTER if category[0] in "LN" else SEPARATOR

    def becomes(self, point):
        out = []
        for part in self.decompose(point, True):
            part = MAPPED.get(part, part)
            folded = [part] if part == IOTA_SUBSCRIPT else self.folding.get(part, [part])
            out += [each for letter in folded for each in self.decompose(letter, False)]
        return [part for part in out if self.kind(part) != DROPPED]


def words(values, form):
    lines, line = [], " "
    for value in values:
        text = f" {form.format(value)},"
        if len(line) + len(text) > 118:
            lines.append(line)
            line = " "
        line += text
    return "\n".join([*lines, line])


def render(data):
    entries, pool, blocks = {}, [], {}
    pooled = {}
    stage1, stage2 = [], []
    for start in range(0, LAST + 1, BLOCK):
        block = []
        for point in range(start, start + BLOCK):
            kind, target = data.kind(point), tuple(data.becomes(point))
            if kind == DROPPED or target == (point,):
                target = ()
            elif not target:
                kind = DROPPED
            elif len(target) == 1 and data.kind(target[0]) == SEPARATOR:
                kind, target = SEPARATOR, ()
            if target and target not in pooled:
                pooled[target] = len(pool)
                pool += target
            entry = (pooled.get(target, 0), len(target), kind, data.ccc.get(point, 0))
            block.append(entries.setdefault(entry, len(entries)))
        block = tuple(block)
        if block not in blocks:
            blocks[block] = len(blocks)
            stage2 += block
        stage1.append(blocks[block])
    assert max(len(pool), len(entries), len(stage2)) <= 0xFFFF and len(blocks) <= 0xFFFF
    cells = [f"{{{offset}, {size}, {kind}, {ccc}}}" for offset, size, kind, ccc in entries]
    return f"""// SPDX-License-Identifier: Apache-2.0
// Generated by generate.py from Unicode {VERSION}. Do not edit.
// Derived from data files, Copyright (c) 1991-2022 Unicode, Inc.; Unicode License (www.unicode.org/license.txt).
// clang-format off
#include "model/unicode/tables.hpp"

namespace casevault::model::unicode {{

const std::array<std::uint16_t, {len(stage1)}> kStage1 = {{
{words(stage1, "{}")}
}};

const std::array<std::uint16_t, kStage2Size> kStage2 = {{
{words(stage2, "{}")}
}};

const std::array<Entry, kEntries> kEntry = {{{{
{words(cells, "{}")}
}}}};

const std::array<char32_t, kPoolSize> kPool = {{
{words(pool, "0x{:X}")}
}};

}}  // namespace casevault::model::unicode
""", f"""// SPDX-License-Identifier: Apache-2.0
// Generated by generate.py from Unicode {VERSION}. Do not edit.
// Derived from data files, Copyright (c) 1991-2022 Unicode, Inc.; Unicode License (www.unicode.org/license.txt).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace casevault::model::unicode {{

inline constexpr std::string_view kVersion = "{VERSION}";

/// What a code point is to the normaliser.
enum Kind : std::uint8_t {{
  kSeparator = {SEPARATOR},   ///< neither letter, digit nor mark; apostrophes; white space
  kLetter = {LETTER},      ///< category L or N
  kUnassigned = {UNASSIGNED},  ///< not in this version, or for private use: kept like a letter
  kMark = {MARK},        ///< carries part of the name, as vowel signs do
  kAccent = {ACCENT},      ///< what plain typing leaves out
  kDropped = {DROPPED},     ///< Cf, Cc that is no white space, default ignorable
}};

struct Entry {{
  std::uint16_t offset;  ///< of what it becomes, in kPool
  std::uint8_t length;   ///< 0: itself
  std::uint8_t kind;
  std::uint8_t ccc;
}};

inline constexpr std::size_t kBlock = {BLOCK};
inline constexpr std::size_t kStage2Size = {len(stage2)};
inline constexpr std::size_t kEntries = {len(entries)};
inline constexpr std::size_t kPoolSize = {len(pool)};
extern const std::array<std::uint16_t, {len(stage1)}> kStage1;
extern const std::array<std::uint16_t, kStage2Size> kStage2;
extern const std::array<Entry, kEntries> kEntry;
extern const std::array<char32_t, kPoolSize> kPool;

/// `point` is at most U+10FFFF.
[[nodiscard]] inline const Entry& entry_of(char32_t point) noexcept {{
  return kEntry[kStage2[kStage1[point / kBlock] * kBlock + point % kBlock]];
}}

}}  // namespace casevault::model::unicode
"""


def main():
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    here = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).resolve().parent
    source, header = render(Database(Path(sys.argv[1])))
    (here / "tables.cpp").write_text(source, encoding="ascii")
    (here / "tables.hpp").write_text(header, encoding="ascii")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""An attacker who reads published tables: it solves them as linear systems, in exact fractions, with nothing of casevault
but the published numbers and the public rule. First argument: the tool built beside this."""

import csv
import json
import random
import subprocess
import sys
import unittest
from collections import Counter
from fractions import Fraction
from pathlib import Path

TOOL = ""
REGISTRY = Path(__file__).parent.parent / "data" / "registry_vn.csv"
CODED = ["intake_channel", "sex", "dob_precision", "nationality", "id_type", "province_code", "province_edition", "status",
         "exploitation_type", "means_of_control", "recruitment_method", "recruiter_relation", "destination_country",
         "safe_contact", "needs_accepted", "needs_refused", "services", "regimes_due", "protection", "protection_for", "outcome",
         "consent_giver", "consent_support", "consent_share_agencies", "consent_media"]
SINGLE = [name for name in CODED if name not in
          {"exploitation_type", "means_of_control", "needs_accepted", "needs_refused", "services", "regimes_due", "protection_for"}]
FAR = 10**6


class Simplex:
    """Bounds of sums over {x >= 0 : A x = b}, in fractions, Bland's rule: slow, exact, ends."""

    def __init__(self, rows, right):
        self.width = len(rows[0])
        self.table = []
        for row, value in zip(rows, right):
            sign = -1 if value < 0 else 1
            self.table.append([Fraction(sign * each) for each in row] + [Fraction(sign * value)])
        self.basis = []
        self._start()

    def _pivot(self, line, column):
        row = self.table[line]
        scale = row[column]
        if scale != 1:
            row[:] = [each / scale for each in row]
        for other in self.table:
            factor = other[column]
            if other is not row and factor:
                other[:] = [a - factor * b if b else a for a, b in zip(other, row)]
        self.basis[line] = column

    def _run(self, cost, allowed):
        """Minimises cost x; False when there is no least."""
        reduced = list(cost) + [Fraction(0)]
        for line, column in enumerate(self.basis):
            if reduced[column]:
                factor = reduced[column]
                reduced = [a - factor * b for a, b in zip(reduced, self.table[line])]
        while True:
            entering = next((c for c in range(allowed) if reduced[c] < 0), None)
            if entering is None:
                return -reduced[-1]
            ratios = [(row[-1] / row[entering], self.basis[i], i) for i, row in enumerate(self.table) if row[entering] > 0]
            if not ratios:
                return None
            line = min(ratios)[2]
            self._pivot(line, entering)
            factor = reduced[entering]
            reduced = [a - factor * b for a, b in zip(reduced, self.table[line])]

    def _start(self):
        count = len(self.table)
        for i, row in enumerate(self.table):
            row[-1:-1] = [Fraction(int(i == j)) for j in range(count)]
        self.basis = [self.width + i for i in range(count)]
        least = self._run([Fraction(0)] * self.width + [Fraction(1)] * count, self.width + count)
        assert least == 0, "what was published contradicts itself"
        for line in range(count):
            if self.basis[line] >= self.width:
                column = next((c for c in range(self.width) if self.table[line][c] != 0), None)
                if column is not None:
                    self._pivot(line, column)
        keep = [i for i in range(count) if self.basis[i] < self.width]
        self.table = [self.table[i][: self.width] + self.table[i][-1:] for i in keep]
        self.basis = [self.basis[i] for i in keep]

    def bounds(self, column):
        cost = [Fraction(int(c == column)) for c in range(self.width)]
        low = self._run(cost, self.width)
        high = self._run([-each for each in cost], self.width)
        return low, (None if high is None else -high)


def least(shown, rows, columns, at):
    """What a reader knows of a hidden number from the rule: zeros stand, except some in lines whose total is hidden."""
    row, column = divmod(at, columns + 1)
    if row == rows or column == columns:
        return 1
    return 0 if shown[row * (columns + 1) + columns] is None or shown[rows * (columns + 1) + column] is None else 1


def ranges(shown, rows, columns):
    """For each hidden number the least and greatest value that fits what is published (None: no greatest)."""
    hidden = [at for at, value in enumerate(shown) if value is None]
    if not hidden:
        return {}
    place = {at: i for i, at in enumerate(hidden)}
    lows = [least(shown, rows, columns, at) for at in hidden]
    lines = [[(r * (columns + 1) + c, 1) for c in range(columns)] + [(r * (columns + 1) + columns, -1)] for r in range(rows + 1)]
    lines += [[(r * (columns + 1) + c, 1) for r in range(rows)] + [(rows * (columns + 1) + c, -1)] for c in range(columns + 1)]
    system, right = [], []
    for line in lines:
        row, value = [0] * len(hidden), 0
        for at, sign in line:
            if at in place:
                row[place[at]] = sign
                value -= sign * lows[place[at]]
            else:
                value -= sign * shown[at]
        if any(row):
            system.append(row)
            right.append(value)
        else:
            assert value == 0, "totals are not the sums of their lines"
    solver = Simplex(system, right)
    out = {}
    for at, i in place.items():
        low, high = solver.bounds(i)
        out[at] = (low + lows[i], None if high is None else high + lows[i])
    return out


def grid(table):
    """A table of the command as the attacker reads it: row by row, totals last."""
    out = []
    for cells, total in zip(table["cells"] or [[each] for each in table["row_totals"]], table["row_totals"]):
        out += [*cells, total]
    return [*out, *(table["column_totals"] or [table["total"]]), table["total"]]


def names(table):
    """What each number of a table counts, the same name for the same number in every table of the same people. The codes of
    multi-coded fields are counted, not the people, so that a total of them is one of its own."""
    rows = [(table["rows"], label) for label in table["row_labels"]]
    columns = [(table["columns"], label) for label in table["column_labels"]] or [None]
    totals = [(field, None) if field is not None and field not in SINGLE and ":" not in field else None
              for field in (table["rows"], table["columns"])]
    return [frozenset(each for each in (row, column) if each is not None)
            for row in [*rows, totals[0]] for column in [*columns, totals[1]]]


def together(published):
    """Pairs of (parts, table), where `parts` names the disjoint sets of people that a table is about, e.g. "ab" and "bc" for
    two periods that overlap. For each (part or parts, name) that is nowhere shown the least and greatest number that fits."""
    fixed, lows, sums, lines = {}, {}, {}, []
    for parts, table in published:
        shown, called = grid(table), names(table)
        height, width = len(table["row_labels"]), len(table["column_labels"]) or 1
        for at, (name, value) in enumerate(zip(called, shown)):
            if value is not None:
                if sums.setdefault((parts, name), value) != value:
                    raise AssertionError("two tables differ about one number")
                if value == 0:
                    fixed.update(((part, name), 0) for part in parts)
                elif len(parts) == 1:
                    fixed[parts, name] = value
            else:
                low = least(shown, height, width, at)
                lows[parts, name] = max(low, lows.get((parts, name), 0))
        place = lambda r, c: called[r * (width + 1) + c]
        for part in parts:
            lines += [[*(((part, place(r, c)), 1) for c in range(width)), ((part, place(r, width)), -1)] for r in range(height + 1)]
            lines += [[*(((part, place(r, c)), 1) for r in range(height)), ((part, place(height, c)), -1)] for c in range(width + 1)]
    system = []
    for line in lines:
        sides = Counter()
        for name, sign in line:
            sides[name] += sign
        system.append(({name: sign for name, sign in sides.items() if sign}, 0))
    for (parts, name), value in sums.items():
        if len(parts) > 1:
            system.append(({(part, name): 1 for part in parts}, value))
    for (parts, name), low in lows.items():
        if (parts, name) not in sums:
            system.append(({**{(part, name): 1 for part in parts}, (parts, name, "above"): -1}, low))
    left = {}
    for sides, value in system:
        value -= sum(sign * fixed[name] for name, sign in sides.items() if name in fixed)
        unknown = tuple(sorted(((name, sign) for name, sign in sides.items() if name not in fixed), key=repr))
        if unknown:
            if left.setdefault(unknown, value) != value:
                raise AssertionError("what was published contradicts itself")
        elif value != 0:
            raise AssertionError("totals are not the sums of their lines")
    parent = {}

    def root(name):
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for unknown in left:
        for name, _ in unknown[1:]:
            parent[root(name)] = root(unknown[0][0])
    groups = {}
    for unknown, value in left.items():
        groups.setdefault(root(unknown[0][0]), []).append((unknown, value))
    out = {}
    for group in groups.values():
        unknown = sorted({name for sides, _ in group for name, _ in sides}, key=repr)
        place = {name: i for i, name in enumerate(unknown)}
        rows = []
        for sides, _ in group:
            row = [0] * len(unknown)
            for name, sign in sides:
                row[place[name]] = sign
            rows.append(row)
        solver = Simplex(rows, [value for _, value in group])
        for name, i in place.items():
            low, high = solver.bounds(i)
            above = lows[name[:2]] if len(name) == 3 else 0
            out[name[:2]] = (low + above, None if high is None else high + above)
    return out


def counted(rows, columns, row_count, column_count):
    out = [0] * ((row_count + 1) * (column_count + 1))
    people = [set() for _ in out]
    for i, (own_rows, own_columns) in enumerate(zip(rows, columns)):
        for r in own_rows:
            for c in own_columns:
                for at in (r * (column_count + 1) + c, r * (column_count + 1) + column_count,
                           row_count * (column_count + 1) + c, row_count * (column_count + 1) + column_count):
                    out[at] += 1
                    people[at].add(i)
    return out, [len(each) for each in people]


def cells(matrix):
    """Records that give a hand-made table."""
    rows, columns = [], []
    for r, line in enumerate(matrix):
        for c, count in enumerate(line):
            rows += [[r]] * count
            columns += [[c]] * count
    return rows, columns


class Attack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with REGISTRY.open(encoding="utf-8", newline="") as file:
            cls.people = list(csv.DictReader(file))
        cls.tool = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @classmethod
    def tearDownClass(cls):
        cls.tool.stdin.close()
        cls.tool.stdout.close()
        cls.tool.wait()

    def publish(self, rows, columns, row_count, column_count, **rule):
        question = {"rows": {"categories": row_count, "records": rows},
                    "columns": {"categories": column_count, "records": columns}, **rule}
        self.tool.stdin.write(json.dumps(question) + "\n")
        self.tool.stdin.flush()
        return json.loads(self.tool.stdout.readline())

    def attack(self, rows, columns, row_count, column_count, min_cell, **rule):
        """What is shown is true and never small, and nothing small can be worked out."""
        answer = self.publish(rows, columns, row_count, column_count, min_cell=min_cell, **rule)
        shown = answer["shown"]
        truth, people = counted(rows, columns, row_count, column_count)
        self.assertEqual(len(shown), len(truth))
        small = [0 < value < min_cell or 0 < who < min_cell for value, who in zip(truth, people)]
        for at, value in enumerate(shown):
            self.assertTrue(value is None or (value == truth[at] and not small[at]), f"number {at} is shown")
        fits = ranges(shown, row_count, column_count)
        for at, (low, high) in fits.items():
            high = FAR if high is None else high
            self.assertLessEqual(low, truth[at])
            self.assertGreaterEqual(high, truth[at])
            row, column = divmod(at, column_count + 1)
            empty = truth[row * (column_count + 1) + column_count] == 0 or truth[row_count * (column_count + 1) + column] == 0
            if small[at]:
                self.assertGreaterEqual(high, min_cell, f"number {at} is known to be small: {low} to {high}")
                self.assertGreaterEqual(high - low + 1, min_cell - 1, f"number {at} is known: {low} to {high}")
            elif truth[at] == 0 and not empty:
                self.assertGreaterEqual(high, 1, f"number {at} is known to be zero")
        # Nobody sees that all of the few in a line are of one category, unless there is but one.
        total = lambda r, c: truth[r * (column_count + 1) + c]
        lines = [([r * (column_count + 1) + c for c in range(column_count) if total(row_count, c)], r * (column_count + 1) + column_count)
                 for r in range(row_count)]
        lines += [([r * (column_count + 1) + c for r in range(row_count) if total(r, column_count)], row_count * (column_count + 1) + c)
                  for c in range(column_count)]
        for line, sum_at in lines:
            if small[sum_at] and len(line) > 1 and "earlier" not in rule:
                possible = [at for at in line if at in fits and (fits[at][1] is None or fits[at][1] >= 1)]
                self.assertGreaterEqual(len(possible), 2, f"the few of line {line} are all in one category")
        return shown

    def test_200_random_tables_of_the_register_give_no_small_cell_away(self):
        draw = random.Random(20240730)
        shown, hidden = 0, 0
        for _ in range(200):
            first, second = draw.sample(CODED, 2)
            chosen = self.people
            if draw.random() < 0.6:
                field = draw.choice(SINGLE)
                value = draw.choice(self.people)[field]
                chosen = [each for each in chosen if each[field] == value]
            if draw.random() < 0.3:
                start = draw.randint(2018, 2024)
                chosen = [each for each in chosen if start <= int(each["intake_date"][:4] or 0) <= start + draw.randint(0, 2)]
            codes = [sorted({code for each in chosen for code in each[name].split(";")}) for name in (first, second)]
            # The attacker's fractions are slow: the codes of long lists are taken together.
            groups = [min(len(each), draw.randint(2, 9)) for each in codes]
            places = [{code: i % max(1, n) for i, code in enumerate(each)} for each, n in zip(codes, groups)]
            columns = [[sorted({place[code] for code in each[name].split(";")}) for each in chosen]
                       for name, place in zip((first, second), places)]
            with self.subTest(rows=first, columns=second, records=len(chosen)):
                table = self.attack(*columns, *groups, min_cell=draw.choice([11, 11, 11, 5, 2]))
                shown += sum(value is not None for value in table)
                hidden += sum(value is None for value in table)
        self.assertGreater(shown, 1500, "hardly anything is published")
        self.assertGreater(hidden, 500, "the tables were no test")

    def test_hand_made_tables_give_no_small_cell_away(self):
        for name, matrix in {
            "one small cell in a large table": [[50, 60, 3], [70, 80, 90], [40, 30, 20]],
            "one small cell whose neighbours are zeros": [[50, 0, 3], [0, 80, 90], [40, 30, 0]],
            "a line of one small cell": [[3, 0, 0], [70, 80, 90], [40, 30, 20]],
            "small cells on the diagonal": [[3, 50, 60], [70, 4, 90], [40, 30, 5]],
            "two small cells of 1 in a line": [[1, 1, 50], [70, 80, 90]],
            "eleven ones in a line": [[1] * 11, [40] * 11],
            "a block of small cells": [[1, 2, 30], [2, 1, 30], [30, 30, 30]],
            "one column": [[3], [50], [60]],
            "one row": [[3, 50, 60]],
            "one cell": [[7]],
            "one large cell": [[70]],
            "a table of which all is small": [[1, 2], [3, 1]],
            "a total that is small while the table is not": [[5, 4, 0], [200, 300, 0], [0, 0, 100]],
            "tens": [[10, 10, 10], [10, 10, 10]],
            "elevens": [[11, 11, 11], [11, 11, 1]],
            "nothing": [[0, 0], [0, 0]],
            "far apart": [[100000, 1], [1, 100000]],
        }.items():
            with self.subTest(name):
                shown = self.attack(*cells(matrix), len(matrix), len(matrix[0]), min_cell=11)
                if name == "elevens":
                    self.assertIsNone(shown[6])

    def test_random_sparse_tables_give_no_small_cell_away(self):
        draw = random.Random(7)
        for _ in range(150):
            rows, columns = draw.randint(1, 6), draw.randint(1, 6)
            matrix = [[draw.choice([0, 0, 1, 2, 5, 10, 11, 12, 40, 200]) for _ in range(columns)] for _ in range(rows)]
            with self.subTest(matrix=matrix):
                self.attack(*cells(matrix), rows, columns, min_cell=draw.choice([2, 3, 5, 11, 20]))

    def test_a_total_of_few_people_is_hidden_though_they_are_mentioned_often(self):
        rows = [[0, 1, 2]] * 6 + [[3]] * 60
        columns = [[0, 1]] * 6 + [[2]] * 60
        shown = self.attack(rows, columns, 4, 3, min_cell=11)
        self.assertIsNone(shown[3])   # six people, twelve mentions
        self.assertIsNone(shown[16])  # the same six, eighteen mentions

    def test_what_an_earlier_table_showed_does_not_count_as_hidden(self):
        known, hidden = 1, 2
        rows, columns = cells([[3, 50, 60], [70, 80, 90], [40, 30, 20]])
        marks = [0] * 16
        for total in (3, 7, 11, 12, 13, 14, 15):
            marks[total] = known
        shown = self.attack(rows, columns, 3, 3, min_cell=11, earlier=marks)
        self.assertTrue(all(shown[total] is not None for total in (3, 7, 11, 12, 13, 14, 15)))
        marks[5] = hidden
        self.assertIsNone(self.attack(rows, columns, 3, 3, min_cell=11, earlier=marks)[5])
        marks[1] = marks[2] = known
        self.assertIn("refused", self.publish(rows, columns, 3, 3, min_cell=11, earlier=marks))

    def test_rounded_tables_say_no_more_of_a_count_than_its_multiple(self):
        draw = random.Random(3)
        for _ in range(50):
            rows, columns, base = draw.randint(1, 5), draw.randint(1, 5), draw.choice([5, 10])
            matrix = [[draw.randint(0, 30) for _ in range(columns)] for _ in range(rows)]
            shown = self.publish(*cells(matrix), rows, columns, base=base)["shown"]
            for r in range(rows):
                line = shown[r * (columns + 1):(r + 1) * (columns + 1)]
                for c in range(columns):
                    self.assertEqual(line[c] % base, 0)
                    self.assertLessEqual(abs(line[c] - matrix[r][c]), base // 2 + base % 2)
                # The total is computed from what is shown, so it says nothing that this does not.
                self.assertEqual(line[-1], sum(line[:-1]))
            self.assertEqual(shown[-1], sum(shown[columns::columns + 1][:-1]))

    def test_the_attacker_pins_what_plain_suppression_leaves(self):
        """Of a table whose small cells alone are hidden it finds the numbers: it is no toothless judge."""
        truth, _ = counted(*cells([[3, 50], [70, 80]]), 2, 2)
        shown = [None if 0 < value < 11 else value for value in truth]
        self.assertEqual(ranges(shown, 2, 2), {0: (3, 3)})


if __name__ == "__main__":
    TOOL = sys.argv.pop(1)
    unittest.main()

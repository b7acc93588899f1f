# SPDX-License-Identifier: Apache-2.0
"""The attacker of tests/analytics on several tables of the same people at once: what one hides, the others must not show."""

import collections
import random
import shutil
import sys

import casevault
from conftest import ROOT, Place

sys.path.insert(0, str(ROOT / "tests" / "analytics"))
from attacker_test import Simplex, least  # noqa: E402


def grid(table):
    out = []
    for cells, total in zip(table.cells, table.row_totals):
        out += [*cells, total]
    return [*out, *table.column_totals, table.total]


def names(table):
    """What each number of a table counts, the same name for the same number in every table."""
    rows, columns = [*table.row_labels, None], [*table.column_labels, None]
    return [frozenset((field, label) for field, label in ((table.rows, row), (table.columns, column)) if label is not None)
            for row in rows for column in columns]


def attack(tables):
    """For each number that is nowhere shown its least and greatest value that fits all tables."""
    known, lows = {}, collections.defaultdict(int)
    for table in tables:
        shown, height, width = grid(table), len(table.row_labels), len(table.column_labels)
        for at, (name, value) in enumerate(zip(names(table), shown)):
            if value is None:
                lows[name] = max(lows[name], least(shown, height, width, at))
            else:
                assert known.setdefault(name, value) == value
    unknown = [name for name in lows if name not in known]
    place = {name: i for i, name in enumerate(unknown)}
    system, right = [], []
    for table in tables:
        called, height, width = names(table), len(table.row_labels), len(table.column_labels)
        at = lambda row, column: called[row * (width + 1) + column]
        lines = [([at(r, c) for c in range(width)], at(r, width)) for r in range(height + 1)]
        lines += [([at(r, c) for r in range(height)], at(height, c)) for c in range(width + 1)]
        for parts, total in lines:
            row, value = [0] * len(unknown), 0
            for name, sign in [*((part, 1) for part in parts), (total, -1)]:
                if name in known:
                    value -= sign * known[name]
                else:
                    row[place[name]] += sign
                    value -= sign * lows[name]
            if any(row):
                system.append(row)
                right.append(value)
            else:
                assert value == 0
    if not unknown:
        return {}
    solver = Simplex(system, right)
    out = {}
    for name, i in place.items():
        low, high = solver.bounds(i)
        out[name] = (low + lows[name], None if high is None else high + lows[name])
    return out


PAIRS = [("sex", "status"), ("sex", "intake_channel"), ("intake_channel", "status")]


def told(vaults, people, province):
    """Small numbers of one province that three tables, each of its vault, tell too much of."""
    chosen = [each for each in people if each["province_code"] == province]
    tables = []
    for vault, (rows, columns) in zip(vaults, PAIRS):
        try:
            tables.append(vault.tabulate("person", rows=rows, columns=columns, where={"province_code": province}))
        except casevault.Refused:
            pass
    out = []
    for name, (low, high) in attack(tables).items():
        labels = [(field, "" if label == "(not recorded)" else label) for field, label in name]
        truth = sum(all(each[field] == label for field, label in labels) for each in chosen)
        assert low <= truth and (high is None or truth <= high)
        if 0 < truth < 11 and high is not None and (high < 11 or high == low):
            out.append((sorted(name), low, high))
    return out, len(tables)


def some(people):
    provinces = sorted({each["province_code"] for each in people if each["province_code"]})
    return random.Random(11).sample(provinces, 30)


def test_tables_of_the_same_people_give_no_small_cell_away_together(place, people):
    published = 0
    with place.open("analyst") as vault:
        for province in some(people):
            found, tables = told([vault] * 3, people, province)
            assert not found, (province, found)
            published += tables
    assert published > 60


def test_without_a_common_ledger_the_same_attacker_succeeds(made, tmp_path, people):
    """Three vaults that do not know of each other: what the ledger is for, and the attacker has teeth."""
    vaults = []
    for i in range(3):
        shutil.copytree(made.folder, tmp_path / str(i))
        (tmp_path / str(i)).chmod(0o700)
        vaults.append(Place(tmp_path / str(i)).open("analyst"))
    assert any(told(vaults, people, province)[0] for province in some(people))
    for vault in vaults:
        vault.close()

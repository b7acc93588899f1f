# SPDX-License-Identifier: Apache-2.0
"""Tables, rows and the ledger through the command, on the register of 2,000 invented people."""

import csv
import json
import os
import pathlib
import stat
import sys
import unittest
import xml.etree.ElementTree

import cli_test
from cli_test import CommandTest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "analytics"))
import attacker_test  # noqa: E402

RULES = ["--purpose", "statistics", "--basis", "state_agency_duty"]


def setUpModule():
    cli_test.setUpModule()


def tearDownModule():
    cli_test.tearDownModule()


def people():
    with cli_test.LARGE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def grid(table):
    """A table of the command as the attacker reads it: row by row, totals last."""
    out = []
    for cells, total in zip(table["cells"], table["row_totals"]):
        out += [*cells, total]
    return [*out, *table["column_totals"], table["total"]]


class Reports(CommandTest):
    @classmethod
    def setUpClass(cls):
        box = cli_test.Box("large", cli_test.BASE)
        # The prepared vault has few people; the register brings 2,000.
        box.json("import", "person", cli_test.LARGE)
        cls.large = box
        cls.everybody = box.json("status")["records"]["person"]
        cls.prepared = cls.everybody - len(people())

    def large_box(self):
        return cli_test.Box(self.id().rsplit(".", 1)[-1], self.large)

    def setUp(self):
        super().setUp()
        self.large.kept = set(os.listdir(self.large.folder))

    def test_tables_of_the_register_give_no_small_cell_away(self):
        box = self.large_box()
        for rows, columns in [("sex", "status"), ("intake_channel", "status"), ("exploitation_type", "sex"), ("intake_date", "sex")]:
            table = box.json("report", "table", "person", "--rows", rows, "--columns", columns)
            shown = grid(table)
            self.assertTrue(all(value is None or value == 0 or value >= 11 for value in shown), table)
            fits = attacker_test.ranges(shown, len(table["row_labels"]), len(table["column_labels"]))
            for low, high in fits.values():
                self.assertTrue(high is None or high - low >= 1, table)
            self.assertEqual(box.log()[-1]["action"], "tabulate")
            self.assertEqual(box.log()[-1]["entry"], table["entry"])

    def test_a_table_counts_what_the_register_says(self):
        box = self.large_box()
        table = box.json("report", "table", "person", "--rows", "sex", "--where", "intake_date=2024", "--where", "status=identified",
                         "--min-cell", "2")
        mine = [each for each in people() if each["intake_date"].startswith("2024") and each["status"] == "identified"]
        count = dict(zip(table["row_labels"], table["row_totals"]))
        told = {sex: number for sex, number in count.items() if number is not None}
        self.assertTrue(told)
        for sex, number in told.items():
            expected = sum(each["sex"] == sex for each in mine)
            self.assertTrue(0 <= number - expected <= self.prepared, (sex, number, expected))

    def test_a_difference_of_few_people_is_refused_with_the_entry(self):
        box = self.large_box()
        box.json("add", "person", "full_name=Một Mình", "sex=female", "status=identified", "intake_date=1999-05-01")
        first = box.json("report", "table", "person", "--rows", "status", "--name", "yearbook")
        box.json("report", "table", "person", "--rows", "status", "--where", "sex=female")
        for words in (["--rows", "status"], ["--rows", "sex", "--columns", "status"]):
            error = box.run("report", "table", "person", *words, "--where", "intake_date=2000..2100", code=4).error
            self.assertIn(f"entry {first['entry']}", error["message"])
        ledger = box.json("report", "ledger")
        self.assertEqual([each["kind"] for each in ledger], ["table", "table"])
        self.assertEqual((ledger[0]["entry"], ledger[0]["name"]), (first["entry"], "yearbook"))
        self.assertEqual(box.log()[-1]["outcome"], "denied")

    def test_files_are_new_private_and_well_formed(self):
        box = self.large_box()
        base = ["report", "table", "person", "--rows", "exploitation_type", "--columns", "sex"]
        made = box.json(*base, "--out", box.path("t.csv"))
        self.assertEqual(made["out"], str(box.path("t.csv")))
        self.assertEqual(stat.S_IMODE(box.path("t.csv").stat().st_mode), 0o600)
        with box.path("t.csv").open(newline="") as file:
            lines = list(csv.reader(file))
        self.assertEqual([line[0] for line in lines[1:-1]], made["row_labels"])
        for line, cells, total in zip(lines[1:], made["cells"], made["row_totals"]):
            self.assertEqual(line[1:], ["*" if each is None else str(each) for each in [*cells, total]])
        box.run(*base, "--out", box.path("t.csv"), code=2)
        box.run(*base, "--out", box.path("t.pdf"), code=2)
        box.json(*base, "--out", box.path("t.html"))
        page = box.path("t.html").read_text(encoding="utf-8")
        tree = xml.etree.ElementTree.fromstring(page.split("\n", 1)[1].replace('<meta charset="utf-8">', ""))
        bars = [each for each in tree.iter() if each.tag.endswith("rect") and each.get("height") == "16"]
        self.assertEqual(len(bars), len(made["row_labels"]))
        hidden = sum(each.get("fill") == "url(#hidden)" for each in bars)
        self.assertEqual(hidden, made["row_totals"].count(None))
        text = box.run(*base, as_json=False).out
        self.assertIn("* hidden", text)

    def test_places_by_era(self):
        recorded = self.large_box().json("report", "table", "person", "--rows", "province_code")
        self.assertTrue(all("(" in label for label in recorded["row_labels"]), recorded["row_labels"])
        box = self.large_box_named("era")
        newer = box.json("report", "table", "person", "--rows", "province_code", "--era", "2025")
        self.assertFalse(any("(20" in label for label in newer["row_labels"]))
        self.assertLess(len(newer["row_labels"]), len(recorded["row_labels"]))
        box.run("report", "table", "person", "--rows", "province_code", "--era", "1999", code=2)

    def large_box_named(self, name):
        return cli_test.Box(name, self.large)

    def test_usage(self):
        box = self.large_box()
        for words, code in [(["--rows", "full_name"], 4), (["--rows", "nothing"], 11), (["--rows", "sex", "--columns", "sex"], 2),
                            (["--rows", "sex", "--min-cell", "1"], 2), (["--rows", "sex", "--where", "sex"], 2),
                            (["--rows", "sex", "--round-to", "2"], 2), (["--rows", "intake_channel", "--purpose", "reception"], 0),
                            (["--rows", "sex", "--purpose", "nothing"], 4)]:
            with self.subTest(words):
                box.run("report", "table", "person", *words, code=code)
        box.run("report", "table", "car", "--rows", "sex", code=5)
        rounded = self.large_box_named("rounded").json("report", "table", "person", "--rows", "sex", "--columns", "status", "--round-to", "10")
        self.assertTrue(all(value % 10 == 0 for value in grid(rounded)))
        self.assertIsNone(rounded["min_cell"])

    def test_an_analyst_exports_exactly_the_granted_columns(self):
        box = self.large_box()
        analyst = ["--identity", box.path("analyst.identity")]
        done = box.json("export", "person", "--columns", "sex,intake_date,exploitation_type", "--out", box.path("rows.csv"), *RULES, *analyst)
        with box.path("rows.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(done["rows"], len(rows))
        expected = [(each["sex"], each["intake_date"], each["exploitation_type"]) for each in people()]
        self.assertEqual([tuple(each.values()) for each in rows][-len(expected):], expected)
        self.assertEqual(box.log()[-1]["entry"], done["entry"])
        box.json("export", "person", "--columns", "sex,status", "--out", box.path("rows.jsonl"), *RULES, *analyst)
        lines = [json.loads(line) for line in box.path("rows.jsonl").read_text(encoding="utf-8").splitlines()]
        self.assertEqual(len(lines), len(rows))
        self.assertEqual(lines[-1]["status"], people()[-1]["status"])
        box.run("export", "person", "--columns", "full_name", "--out", box.path("no.csv"), *RULES, *analyst, code=4)
        self.assertFalse(box.path("no.csv").exists())
        box.run("export", "person", "--columns", "sex", "--out", box.path("rows.csv"), *RULES, code=2)
        box.run("export", "person", "--columns", "sex", "--out", box.path("no.csv"), code=2)
        box.run("export", "person", "--columns", "sex", "--out", box.path("no.csv"), *RULES, "--star", code=2)

    def test_a_release_holds_k_of_each_and_says_what_is_missing(self):
        box = self.large_box()
        done = box.json("export", "person", "--columns", "sex,intake_date,status,province_code", "--release", "study", "--era", "2025",
                        "--out", box.path("rows.csv"), *RULES)
        with box.path("rows.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        groups = {}
        for each in rows:
            key = tuple(value for name, value in each.items() if name != "pseudonym")
            groups[key] = groups.get(key, 0) + 1
        self.assertGreaterEqual(min(groups.values()), 11)
        self.assertEqual(done["rows"], len(rows))
        self.assertEqual(done["rows"] + done["dropped"], self.everybody)
        self.assertEqual(done["k"], min(groups.values()))
        self.assertTrue(all(len(each["intake_date"]) in (0, 4) for each in rows))
        self.assertEqual(len({each["pseudonym"] for each in rows}), len(rows))
        starred = box.json("export", "person", "--columns", "sex,intake_date,status,province_code", "--release", "stars", "--era", "2025",
                           "--star", "--out", box.path("stars.jsonl"), *RULES)
        self.assertGreater(starred["rows"], done["rows"])
        self.assertGreater(sum(starred["starred"].values()), 0)
        self.assertEqual([each["kind"] for each in box.json("report", "ledger")], ["rows", "rows"])
        box.json("report", "budget", "opendp", "--epsilon", "0.5", "--name", "histogram")
        self.assertEqual(box.json("report", "ledger")[-1]["definition"], "epsilon 0.500000 by opendp")
        self.assertTrue(box.json("audit", "verify")["ok"])
        self.assertTrue(box.json("doctor", "--deep")["ok"])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        cli_test.COMMAND = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)

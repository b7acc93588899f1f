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


def everyone():
    """The register, and whom the prepared vault holds besides."""
    with cli_test.SMALL.open(encoding="utf-8", newline="") as file:
        return people() + list(csv.DictReader(file))


def received(people, start, end):
    """Whose intake date lies in the period as far as its bounds say."""
    least = max(len(start), len(end))
    return [each for each in people if len(each["intake_date"]) >= least and start <= each["intake_date"][:len(start)]
            and each["intake_date"][:len(end)] <= end]


def counted(people, name):
    """What a number of a table counts, by its name (attacker_test.names)."""
    out = 0
    for each in people:
        times = 1
        for field, label in name:
            field, _, level = field.partition(":")
            codes = [each[field][:4]] if level else each[field].split(";")
            if field == "province_code" and codes[0]:
                codes = [f"{codes[0]} ({each['province_edition']})"]
            times *= len(codes) if label is None else ("" if label == "(not recorded)" else label) in codes
        out += times
    return out


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
            shown = attacker_test.grid(table)
            self.assertTrue(all(value is None or value == 0 or value >= 11 for value in shown), table)
            fits = attacker_test.ranges(shown, len(table["row_labels"]), len(table["column_labels"]))
            for low, high in fits.values():
                self.assertTrue(high is None or high - low >= 1, table)
            self.assertEqual(box.log()[-1]["action"], "tabulate")
            self.assertEqual(box.log()[-1]["entry"], table["entry"])

    def test_a_table_counts_what_the_register_says(self):
        box = self.large_box()
        table = box.json("report", "table", "person", "--rows", "sex", "--where", "intake_date=2024", "--where", "status=identified")
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

    def indicators(self, box, start, end, *words):
        """Tables of the indicators of those received in a period, and what became of each."""
        report = box.json("report", "indicators", "--from", start, "--to", end, *words)
        received = [each for each in report["indicators"] if not each["name"].endswith("identified") and "regimes" not in each["name"]]
        return [each["table"] for each in received if each["table"]], report["indicators"]

    def assert_hidden(self, published, people):
        """Nothing small of these sets of people (by part) can be worked out, and something small is there to be found."""
        small = 0
        for (parts, name), (low, high) in attacker_test.together(published).items():
            truth = sum(counted(people[part], name) for part in parts)
            self.assertTrue(low <= truth and (high is None or truth <= high), (parts, name, low, truth, high))
            if 0 < truth < 11:
                small += 1
                self.assertTrue(high is None or (high >= 11 and high - low >= 9), (parts, sorted(name, key=str), low, truth, high))
        self.assertGreater(small, 20)

    def test_all_indicators_of_a_report_together_give_no_small_cell_away(self):
        box = self.large_box()
        people = everyone()
        for start, end in [("2024-01", "2024-06"), ("2021", "2021"), ("2023-09-15", "2023-12-24")]:
            tables, report = self.indicators(box, start, end)
            refused = [each["refused"] for each in report if each["refused"]]
            for reason in refused:
                self.assertIn("together with entry", reason)
            self.assertLess(len(refused), 5)
            self.assertGreater(len(tables), 4)
            self.assert_hidden([("a", each) for each in tables], {"a": received(people, start, end)})
        log = box.log()
        self.assertEqual([each["entry"] for each in log if (each["action"], each["outcome"]) == ("tabulate", "ok")], [each["entry"] for each in box.json("report", "ledger")])

    def test_two_reports_over_periods_that_overlap_give_no_small_cell_away(self):
        box = self.large_box()
        people = everyone()
        first, _ = self.indicators(box, "2024-01", "2024-06")
        second, _ = self.indicators(box, "2024-04", "2024-09")
        self.assertGreater(len(second), 4)
        parts = {"a": received(people, "2024-01", "2024-03"), "b": received(people, "2024-04", "2024-06"),
                 "c": received(people, "2024-07", "2024-09")}
        self.assert_hidden([*(("ab", each) for each in first), *(("bc", each) for each in second)], parts)

    def test_a_report_over_a_year_does_not_tell_what_its_half_hid(self):
        box = self.large_box()
        people = everyone()
        half, _ = self.indicators(box, "2024-01", "2024-06")
        year, report = self.indicators(box, "2024-01", "2024-12")
        refused = [each for each in report if each["refused"]]
        self.assertTrue(refused and year)
        for each in refused:
            self.assertIsNone(each["table"])
            self.assertRegex(each["refused"], "together with entry [0-9]+, ")
        parts = {"a": received(people, "2024-01", "2024-06"), "d": received(people, "2024-07", "2024-12")}
        self.assert_hidden([*(("a", each) for each in half), *(("ad", each) for each in year)], parts)

    def test_indicators_that_no_ledger_holds_together_tell_small_cells(self):
        """The attacker has teeth: two vaults that do not know of each other publish what one would refuse."""
        people = everyone()
        half, _ = self.indicators(self.large_box(), "2024-01", "2024-06")
        year, _ = self.indicators(self.large_box_named("apart"), "2024-01", "2024-12")
        parts = {"a": received(people, "2024-01", "2024-06"), "d": received(people, "2024-07", "2024-12")}
        with self.assertRaises(AssertionError):
            self.assert_hidden([*(("a", each) for each in half), *(("ad", each) for each in year)], parts)

    def test_indicators_go_into_files_and_say_which_were_refused(self):
        box = self.large_box()
        period = ["--from", "2024-01-01", "--to", "2024-06-30"]
        report = box.json("report", "indicators", *period, "--out", box.path("i.csv"))
        self.assertEqual((report["from"], report["to"], report["out"]), ("2024-01-01", "2024-06-30", str(box.path("i.csv"))))
        with box.path("i.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        for each in report["indicators"]:
            own = [line for line in lines if line["indicator"] == each["name"]]
            self.assertEqual({line["title"] for line in own}, {each["title"]["en"]})
            self.assertIn("vi", each["title"])
            if each["refused"]:
                self.assertEqual([line["note"] for line in own], [each["refused"]])
                continue
            total = each["table"]["total"]
            self.assertEqual(own[-1]["count"], "*" if total is None else str(total))
        box.run("report", "indicators", *period, "--out", box.path("i.csv"), code=2)
        again = box.json("report", "indicators", *period, "--only", "received_by_status", "--out", box.path("i.html"))
        self.assertEqual(len(again["indicators"]), 1)
        first = next(each for each in report["indicators"] if each["name"] == "received_by_status")
        self.assertEqual(attacker_test.grid(again["indicators"][0]["table"]), attacker_test.grid(first["table"]))
        page = box.path("i.html").read_text(encoding="utf-8")
        xml.etree.ElementTree.fromstring(page.split("\n", 1)[1].replace('<meta charset="utf-8">', ""))
        self.assertIn("Persons received, by status and sex", page)
        # An analyst holds the coded columns only: the others of the report are refused, each with its entry.
        box = self.large_box_named("analyst")
        analyst = ["--identity", box.path("analyst.identity")]
        report = box.json("report", "indicators", *period, "--out", box.path("i.csv"), *analyst)
        refused = {each["name"]: each["refused"] for each in report["indicators"] if each["refused"]}
        self.assertGreaterEqual(set(refused), {"received_by_outcome", "verification_started", "protection", "needs_of_identified",
                                        "services_of_identified", "regimes_due", "regimes_delivered"})
        self.assertEqual(sum(each["outcome"] == "denied" for each in box.log()), len(refused))
        with box.path("i.csv").open(encoding="utf-8", newline="") as file:
            notes = {line["indicator"]: line["note"] for line in csv.DictReader(file) if line["count"] == ""}
        self.assertEqual(notes, refused)
        box.run("report", "indicators", *period, "--only", "protection", *analyst, code=4)
        text = box.run("report", "indicators", *period, *analyst, as_json=False).out
        self.assertIn("received_by_status: Persons received, by status and sex", text)
        self.assertTrue(box.json("audit", "verify")["ok"])

    def test_usage_of_indicators(self):
        box = self.large_box()
        for words, code in [(["--from", "2024"], 2), (["--to", "2024"], 2), (["--from", "2024", "--to", "2023"], 2),
                            (["--from", "May", "--to", "2024"], 2), (["--from", "2024", "--to", "2024-13"], 2),
                            (["--from", "2024", "--to", "2024", "--min-cell", "1"], 2),
                            (["--from", "2024", "--to", "2024", "--only", "nothing"], 5),
                            (["--from", "2024", "--to", "2024", "--out", "i.pdf"], 2),
                            (["--from", "2024", "--to", "2024", "--purpose", "nothing"], 4)]:
            with self.subTest(words):
                box.run("report", "indicators", *words, code=code)
        self.assertEqual(box.json("report", "ledger"), [])

    def test_usage(self):
        box = self.large_box()
        for words, code in [(["--rows", "full_name"], 4), (["--rows", "nothing"], 11), (["--rows", "sex", "--columns", "sex"], 2),
                            (["--rows", "sex", "--min-cell", "1"], 2), (["--rows", "sex", "--where", "sex"], 2),
                            (["--rows", "sex", "--round-to", "2"], 2), (["--rows", "intake_channel", "--purpose", "reception"], 4),
                            (["--rows", "sex", "--purpose", "nothing"], 4)]:
            with self.subTest(words):
                box.run("report", "table", "person", *words, code=code)
        box.run("report", "table", "car", "--rows", "sex", code=5)
        rounded = self.large_box_named("rounded").json("report", "table", "person", "--rows", "sex", "--columns", "status", "--round-to", "10")
        self.assertTrue(all(value % 10 == 0 for value in attacker_test.grid(rounded)))
        self.assertIsNone(rounded["min_cell"])

    def test_only_purposes_that_publish_do_and_nobody_else_keeps_analysts_from_it(self):
        box = self.large_box()
        table = ["report", "table", "person", "--rows", "nationality"]
        refused = box.run(*table, "--purpose", "protection", code=4)
        self.assertIn("nothing is published for purpose protection; those that publish are statistics", refused.err)
        box.run("export", "person", "--columns", "nationality", "--out", box.path("no.csv"), "--release", "study", "--purpose", "protection",
                "--basis", "protection_order", code=4)
        box.run("report", "indicators", "--from", "2024", "--to", "2024", "--purpose", "protection", code=4)
        self.assertEqual({each["outcome"] for each in box.log() if each["action"] in ("tabulate", "release")}, {"denied"})
        self.assertEqual(box.json("report", "ledger"), [])
        analyst = ["--identity", box.path("analyst.identity")]
        box.json("report", "table", "person", "--rows", "sex", *analyst)
        entry = box.json("report", "table", "person", "--rows", "sex", "--where", "outcome=returned_home")["entry"]
        refused = box.run("report", "table", "person", "--rows", "sex", *analyst, code=4)
        for words in (f"entry {entry} ", "field outcome", "holds compartment case"):
            self.assertIn(words, refused.err)

    def test_long_publications_show_progress_on_standard_error(self):
        for name, words in [("rows", ["export", "person", "--columns", "sex", "--release", "study", "--out", "rows.csv", *RULES]),
                            ("table", ["report", "table", "person", "--rows", "sex"]),
                            ("report", ["report", "indicators", "--from", "2024-01", "--to", "2024-06", "--only", "received_by_status"])]:
            with self.subTest(name):
                box = self.large_box_named(name)
                done = box.run(*[box.path(word) if word.endswith(".csv") else word for word in words], "--progress", "json")
                stages = [json.loads(line)["stage"] for line in done.err.splitlines()]
                self.assertIn("records", stages)
                self.assertEqual(stages[-1], "entry")

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
        left_out = self.everybody - done["rows"]
        self.assertEqual(done["dropped"], left_out if left_out == 0 or left_out >= 11 else None)
        self.assertEqual(done["k"], min(groups.values()))
        self.assertTrue(all(len(each["intake_date"]) in (0, 4) for each in rows))
        self.assertEqual(len({each["pseudonym"] for each in rows}), len(rows))
        # Starred rows cannot be held against others: they stand alone.
        box.run("export", "person", "--columns", "sex,status", "--release", "stars", "--star", "--out", box.path("stars.jsonl"), *RULES, code=4)
        apart = self.large_box_named("stars")
        starred = apart.json("export", "person", "--columns", "sex,intake_date,status,province_code", "--release", "stars", "--era", "2025",
                             "--star", "--out", apart.path("stars.jsonl"), *RULES)
        self.assertGreater(starred["rows"], done["rows"])
        self.assertGreater(sum(starred["starred"].values()), 0)
        self.assertEqual([each["kind"] for each in box.json("report", "ledger")], ["rows"])
        box.json("report", "budget", "opendp", "--epsilon", "0.5", "--name", "histogram")
        self.assertEqual(box.json("report", "ledger")[-1]["definition"], "epsilon 0.500000 by opendp")
        self.assertTrue(box.json("audit", "verify")["ok"])
        self.assertTrue(box.json("doctor", "--deep")["ok"])


    def test_few_people_have_neither_a_table_nor_rows(self):
        """Somebody who knows a day, a place and a sex asks what else is recorded."""
        box = self.large_box()
        someone = next(each for each in people() if each["province_code"] and len(each["intake_date"]) == 10)
        told = set()
        for date in (someone["intake_date"], "1900-01-01"):
            where = ["--where", f"intake_date={date}", "--where", f"province_code={someone['province_code']}",
                     "--where", f"sex={someone['sex']}"]
            for words in (["report", "table", "person", "--rows", "exploitation_type"],
                          ["report", "table", "person", "--rows", "exploitation_type", "--round-to", "5"],
                          ["report", "table", "person", "--rows", "exploitation_type", "--min-cell", "20"],
                          ["export", "person", "--columns", "exploitation_type", "--release", "d1", "--out", box.path("d.csv"), *RULES]):
                error = box.run(*words, *where, code=4).error
                told.add(error["message"].split(" (log entry")[0])
                self.assertEqual(box.log()[-1]["outcome"], "denied")
        self.assertEqual(told, {"refused: fewer than 11 records fit"})
        self.assertEqual(box.json("report", "ledger"), [])
        self.assertFalse(box.path("d.csv").exists())

    def test_sensitive_columns_do_not_switch_the_k_rule_off(self):
        box = self.large_box()
        every = "intake_date:exact,status_date:exact,sex,province_code,status,exploitation_type"
        base = ["export", "person", "--release", "x", "--out", box.path("x.csv"), *RULES]
        box.run(*base, "--columns", every, "--sensitive", every.replace(":exact", ""), code=2)
        for field in ("intake_date", "sex", "province_code", "status"):
            box.run(*base, "--columns", every, "--sensitive", field, code=4)
        box.run(*base, "--columns", "status,exploitation_type", "--sensitive", "exploitation_type", "--distinct", "1", code=2)
        box.run(*base, "--columns", "status", "--k", "2", code=4)
        box.run(*base, "--columns", "status", "--to-class", "nobody", code=4)
        made = box.json(*base, "--columns", "status,exploitation_type", "--sensitive", "exploitation_type", "--to-class", "oversight_body")
        self.assertGreaterEqual(made["distinct"], 2)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        cli_test.COMMAND = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)

# SPDX-License-Identifier: Apache-2.0
"""Search through the command: find, what is told of new records, indexes built anew."""

import json
import os
import subprocess
import sys
import unittest

import cli_test
from cli_test import CommandTest


def setUpModule():
    cli_test.setUpModule()


def tearDownModule():
    cli_test.tearDownModule()


PURPOSE = ["--purpose", "reception"]


class Search(CommandTest):
    def test_find_is_logged_hit_or_miss_and_says_how_closely(self):
        box = self.box()
        first = box.json("add", "person", "full_name=Đặng Thị Thử Tìm", "dob=1990-05-02", "phone=0912 345 678")["id"]
        second = box.json("add", "person", "full_name=Dang Thi Thu Tim")["id"]
        found = box.json("find", "person", "full_name=dang thi thu tim", *PURPOSE)
        self.assertEqual(found["matches"], [{"id": second, "match": "exact"}, {"id": first, "match": "folded"}])
        self.assertEqual(box.log()[-1]["action"], "find")
        self.assertEqual(box.log()[-1]["entry"], found["entry"])
        self.assertEqual(box.json("find", "person", "full_name=ĐẶNG THỊ THỬ TÌM", *PURPOSE)["matches"],
                         [{"id": first, "match": "exact"}])
        loose = box.json("find", "person", "full_name=Tìm Đặng Thị Thử", "--loose", *PURPOSE)["matches"]
        self.assertEqual({m["id"]: m["match"] for m in loose}, {first: "order_free", second: "order_free"})
        self.assertEqual(box.json("find", "person", "phone=+84 912345678", *PURPOSE)["matches"], [{"id": first, "match": "exact"}])
        both = box.json("find", "person", "full_name=dang thi thu tim", "dob=1990", *PURPOSE)
        self.assertEqual([m["id"] for m in both["matches"]], [first])
        self.assertIn(first, [m["id"] for m in box.json("find", "person", "dob=1990-04..1990-06", *PURPOSE)["matches"]])
        miss = box.json("find", "person", "full_name=Không Có Ai Tên Này", *PURPOSE)
        self.assertEqual((miss["matches"], miss["count"]), ([], 0))
        self.assertEqual(box.log()[-1]["entry"], miss["entry"])
        limited = box.json("find", "person", "full_name=dang thi thu tim", "--limit", "1", *PURPOSE)
        self.assertEqual((len(limited["matches"]), limited["count"]), (1, 2))
        self.assertTrue(box.json("doctor", "--deep")["ok"])

    def test_duplicates_are_listed_with_reasons_and_merged_ones_no_more(self):
        box = self.box()
        first = box.json("add", "person", "full_name=Lò Thị Trùng", "dob=1991-01-02", "phone=0912 345 678")["id"]
        second = box.json("add", "person", "full_name=LO THI TRUNG", "dob=1991", "phone=+84 912 345 678")["id"]
        third = box.json("add", "person", "full_name=Vàng A Khác", "dob=1980-05-06")["id"]
        answer = box.run("duplicates", "person", *PURPOSE)
        pairs = [json.loads(line) for line in answer.out.splitlines()]  # some are among the sample records
        own = [pair for pair in pairs if first in (pair["a"], pair["b"])]
        self.assertEqual([{pair["a"], pair["b"]} for pair in own], [{first, second}])
        self.assertGreater(own[0]["score"], 0.5)
        self.assertIn("same telephone", own[0]["because"])
        self.assertIn(f"{len(pairs)} pairs among", answer.err)
        self.assertNotIn("Trung", answer.out + answer.err)
        self.assertEqual(box.log()[-1]["action"], "duplicates")
        box.run("duplicates", "person", "--min-score", "1.1", *PURPOSE, code=2)
        box.run("duplicates", "person", "--min-score", "x", *PURPOSE, code=2)
        box.run("duplicates", "person", code=2)
        box.run("duplicates", "nobody", *PURPOSE, code=5)
        box.run("duplicates", "person", "--purpose", "no_such_purpose", code=4)
        narrow = box.run("duplicates", "person", "--purpose", "verification")
        self.assertIn("not compared, because you may not read them: phone, relatives", narrow.err)

        merged = box.json("merge", first, second, "--reason", "both know the date")
        self.assertEqual(set(merged["person"]), {first, second})
        self.assertEqual(box.log()[-1]["entry"], merged["entry"])
        self.assertEqual(len(box.run("duplicates", "person", *PURPOSE).out.splitlines()), len(pairs) - 1)
        found = box.json("find", "person", "phone=0912345678", *PURPOSE)["matches"]
        self.assertEqual({match["id"]: match["same_person"] for match in found}, {first: [second], second: [first]})
        self.assertEqual([one["action"] for one in box.json("history", second)["versions"]], ["add", "merge"])
        box.run("merge", first, second, "--reason", "twice", code=6)
        box.run("merge", first, third, code=2)
        box.run("merge", first, first, "--reason", "itself", code=11)
        parted = box.json("merge", second, first, "--reason", "another person", "--undo")
        self.assertEqual(parted["person"], [second])
        box.run("merge", second, first, "--reason", "again", "--undo", code=6)
        self.assertEqual(len(box.run("duplicates", "person", *PURPOSE).out.splitlines()), len(pairs))
        self.assertTrue(box.json("audit", "verify")["ok"])

    def test_what_cannot_be_searched_for_is_said(self):
        box = self.box()
        box.run("find", "person", "full_name=x", code=2)
        box.run("find", "person", *PURPOSE, code=2)
        box.run("find", "person", "full_name=", *PURPOSE, code=2)
        box.run("find", "person", "narrative=x", *PURPOSE, code=5)
        box.run("find", "nobody", "full_name=x", *PURPOSE, code=5)
        box.run("find", "person", "full_name=...", *PURPOSE, code=11)
        box.run("find", "person", "dob=1/2/90", *PURPOSE, code=11)
        box.run("find", "person", "full_name=x", "--limit", "0", *PURPOSE, code=2)
        before = len(box.log())
        box.run("find", "person", "full_name=x", "--purpose", "no_such_purpose", code=4)
        self.assertEqual((box.log()[-1]["action"], box.log()[-1]["outcome"]), ("find", "denied"))
        self.assertEqual(len(box.log()), before + 1)

    def test_what_is_searched_for_stays_out_of_the_process_list(self):
        box = self.box()
        first = box.json("add", "person", "full_name=Vừ Thị Kín", "dob=1990-05-02")["id"]
        box.path("asked").write_text(json.dumps({"full_name": "vu thi kin"}), encoding="utf-8")
        found = box.json("find", "person", "--from", box.path("asked"), *PURPOSE)
        self.assertEqual([m["id"] for m in found["matches"]], [first])
        both = box.json("find", "person", "dob=1991", "--from", box.path("asked"), *PURPOSE)
        self.assertEqual(both["matches"], [])
        piped = subprocess.run(box.arguments(["find", "person", "--from", "-", *PURPOSE]), input=b'{"full_name": "vu thi kin"}',
                               stdout=subprocess.PIPE, check=True, timeout=120, env=cli_test.environment(box.state))
        self.assertEqual([m["id"] for m in json.loads(piped.stdout)["matches"]], [first])
        box.path("bad").write_text('{"full_name": ["x"]}', encoding="utf-8")
        box.run("find", "person", "--from", box.path("bad"), *PURPOSE, code=11)

    def test_a_search_without_a_match_says_what_may_have_been_meant(self):
        box = self.box()
        answer = box.json("find", "person", "full_name=Nguyeenx Thij Hoaf", *PURPOSE)
        self.assertEqual(answer["matches"], [])
        self.assertIn("Nguyễn Thị Hòa", answer["suggestions"][0])
        text = box.run("find", "person", "full_name=Nguyeenx Thij Hoaf", *PURPOSE, as_json=False).out
        self.assertIn("--loose", text)
        self.assertIn("Nguyễn Thị Hòa", text)

    def test_the_summary_of_duplicates_is_json_where_progress_is(self):
        box = self.box()
        first = box.json("add", "person", "full_name=Lò Thị Trùng", "dob=1991-01-02", "phone=0912 345 678")["id"]
        box.run("add", "person", "full_name=LO THI TRUNG", "dob=1991", "phone=+84 912 345 678")
        answer = box.run("duplicates", "person", "--progress", "json", *PURPOSE)
        summary = json.loads(answer.err.splitlines()[-1])
        self.assertEqual(summary["pairs"], len(answer.out.splitlines()))
        self.assertEqual(summary["entry"], box.log()[-1]["entry"])
        self.assertEqual((summary["damaged"], summary["basis"] != ""), (0, True))
        line = next(each for each in box.run("duplicates", "person", *PURPOSE, as_json=False).out.splitlines() if first in each)
        self.assertRegex(line, "^[0-9A-Z]{26}  [0-9A-Z]{26}  [0-9.]+  [a-z]")

    def test_a_likely_duplicate_is_told_on_stderr_and_in_json(self):
        box = self.box()
        first = box.json("add", "person", "full_name=Lò Thị Trùng", "dob=1991-01-02")
        self.assertNotIn("warnings", first)
        answer = box.run("add", "person", "full_name=Lo Thi Trung", "dob=1991")
        self.assertIn(first["id"], answer.json["warnings"][0])
        self.assertIn("warning: record", answer.err)
        self.assertNotIn("Trung", answer.err)

    def test_indexes_are_built_anew_and_counted(self):
        box = self.box()
        made = box.json("add", "person", "full_name=Vừ A Chỉ Mục")["id"]
        box.json("key", "rotate", "identity")
        indexes = {(k["compartment"], k["epoch"]): k["indexes"] for k in box.json("key", "list")}
        self.assertEqual(indexes["identity", 1], 1)
        answer = box.json("key", "reencrypt", "--index")
        self.assertTrue(answer["finished"])
        self.assertGreater(answer["indexed"], 0)
        indexes = {(k["compartment"], k["epoch"]): k["indexes"] for k in box.json("key", "list")}
        self.assertEqual((indexes["identity", 1], indexes["identity", 2]), (0, 1))
        self.assertEqual(box.json("find", "person", "full_name=vu a chi muc", *PURPOSE)["matches"][0]["id"], made)
        self.assertTrue(box.json("doctor", "--deep")["ok"])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        cli_test.COMMAND = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)

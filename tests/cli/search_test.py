# SPDX-License-Identifier: Apache-2.0
"""Search through the command: find, what is told of new records, indexes built anew."""

import os
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

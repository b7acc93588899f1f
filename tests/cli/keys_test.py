# SPDX-License-Identifier: Apache-2.0
"""The life of keys through the command: rotate, reencrypt, status, census, destroy."""

import os
import signal
import subprocess
import sys
import unittest

import cli_test
from cli_test import CommandTest, values_of


def setUpModule():
    cli_test.setUpModule()


def tearDownModule():
    cli_test.tearDownModule()


class Keys(CommandTest):
    def test_a_rotation_to_its_end(self):
        box = self.box()
        before = values_of(box, box.ids(), ["full_name", "phone", "sex"])
        cells = {(k["compartment"], k["epoch"]): k["cells"] for k in box.json("key", "list")}
        rotated = box.json("key", "rotate", "identity")
        self.assertEqual((rotated["compartment"], rotated["old"], rotated["new"]), ("identity", 1, 2))
        box.json("add", "person", "full_name=Mới")
        keys = {(k["compartment"], k["epoch"]): (k["state"], k["cells"]) for k in box.json("key", "list")}
        self.assertEqual(keys["identity", 1], ("old", cells["identity", 1]))
        self.assertEqual(keys["identity", 2], ("current", 1))
        status = box.json("key", "status")
        self.assertFalse(status["finished"])
        self.assertEqual(status["total"] - status["done"], cells["identity", 1])
        self.assertIsNone(box.json("key", "census")["entry"])
        box.run("key", "destroy", "identity", "1", "--confirm", "identity:1", code=4)

        moved = box.json("key", "reencrypt")
        self.assertEqual((moved["done"], moved["finished"]), (cells["identity", 1], True))
        self.assertTrue(box.json("key", "status")["finished"])
        census = box.json("key", "census")
        self.assertEqual((census["old_cells"], box.log()[-1]["action"], box.log()[-1]["entry"]), (0, "key-census", census["entry"]))

        box.run("key", "destroy", "identity", "1", code=2)
        box.run("key", "destroy", "identity", "1", "--yes", code=2)
        box.run("key", "destroy", "identity", "1", "--confirm", "identity:2", code=2)
        self.assertIn("identity:1", box.run("key", "destroy", "identity", "1", "--confirm", "identity:1", as_json=False).out)
        keys = {(k["compartment"], k["epoch"]): k["state"] for k in box.json("key", "list")}
        self.assertEqual(keys["identity", 1], "destroyed")
        self.assertEqual(values_of(box, box.ids(), ["full_name", "phone", "sex"]), before)
        officer = values_of(box, box.ids()[:3], ["full_name"], *cli_test.EXCHANGE, "--identity", box.path("officer.identity"))
        self.assertEqual(officer, [{"full_name": v["full_name"]} for v in before[:3]])
        self.assertTrue(box.json("doctor", "--deep")["ok"])

    def test_all_and_who_may(self):
        box = self.box()
        rotated = box.json("key", "rotate", "--all")
        self.assertEqual({r["compartment"] for r in rotated}, set(box.json("status")["epochs"]))
        box.run("key", "rotate", code=2)
        box.run("key", "rotate", "identity", "--all", code=2)
        box.run("key", "rotate", "nothing", code=5)
        analyst = ["--identity", box.path("analyst.identity")]
        box.run("key", "rotate", "identity", *analyst, code=4)
        box.run("key", "reencrypt", *analyst, code=4)
        officer = ["--identity", box.path("officer.identity")]
        partly = box.run("key", "reencrypt", *officer, code=10).json
        self.assertFalse(partly["finished"])
        self.assertIn("case", partly["skipped"])
        self.assertTrue(box.json("key", "reencrypt")["finished"])
        box.run("key", "reencrypt", "--rate", "0", code=2)
        box.run("key", "destroy", "identity", "1", "--confirm", "identity:1", *officer, code=4)

    def test_a_killed_reencryption_goes_on(self):
        box = self.box()
        box.json("key", "rotate", "--all")
        started = subprocess.Popen(box.arguments(["key", "reencrypt", "--rate", "20", "--progress", "json"]), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, env=cli_test.environment(box.state))
        first = started.stderr.readline()  # it is at work
        started.send_signal(signal.SIGKILL)
        started.communicate(timeout=60)
        self.assertIn(b'"cells"', first)
        self.assertFalse(box.json("key", "status")["finished"])
        self.assertTrue(box.json("key", "reencrypt")["finished"])
        self.assertTrue(box.json("key", "status")["finished"])
        self.assertTrue(box.json("doctor", "--deep")["ok"])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        cli_test.COMMAND = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)

# SPDX-License-Identifier: Apache-2.0
"""The bench on a few records: what it prints, not how fast it is. Usage: smoke_test.py PROGRAM."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
ROWS = ["import", "field", "record", "lookup", "loose", "scan", "scan2", "audit-1", "audit-8", "audit-64", "reencrypt", "verify",
        "open"]


class Smoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.done = subprocess.run([PROGRAM, "500", "--rounds", "1", "--json", "--dir", folder], capture_output=True,
                                      text=True, check=False)
            cls.left_behind = os.listdir(folder)

    def test_stdout_is_one_json_document_with_every_row_and_every_value_was_the_right_one(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        report = json.loads(self.done.stdout)
        self.assertEqual([row["operation"] for row in report["rows"]], ROWS)
        for row in report["rows"]:
            with self.subTest(operation=row["operation"]):
                self.assertGreater(row["limit_us"], 0)
                self.assertGreater(row["casevault_us"], 0)
                self.assertGreater(row["ratio"], 0)
                self.assertIsNone(row["sqlcipher_us"])
        self.assertTrue(all(isinstance(bar["met"], bool) and bar["name"] for bar in report["bars"]))

    def test_nothing_stays_on_the_disk(self):
        self.assertEqual(self.left_behind, [])

    def test_a_sqlcipher_that_is_not_there_is_named(self):
        self.assertIn("SQLCipher is left out", self.done.stderr)
        refused = subprocess.run([PROGRAM, "500", "--sqlcipher", os.devnull + "/none"], capture_output=True, text=True,
                                 check=False)
        self.assertNotEqual(refused.returncode, 0)


if __name__ == "__main__":
    unittest.main()

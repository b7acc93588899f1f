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

    def test_a_new_vault_key_and_log_key(self):
        box = self.box()
        old = box.write("old.key", box.json("status")["log_key"] + "\n")
        box.run("audit", "prove", "0", "--out", box.path("old.receipt"))
        made = box.json("key", "rotate", "--vault-key")
        self.assertEqual(made["vault_key_epoch"], 2)
        new = box.write("new.key", made["log_key"] + "\n")
        box.run("audit", "prove", "0", "--out", box.path("new.receipt"))
        for receipt, key, code in (("old", old, 0), ("old", new, 8), ("new", new, 0), ("new", old, 8)):
            box.run("receipt", "verify", box.path(receipt + ".receipt"), "--log-key", key, vault=False, secret=False, code=code)
        box.run("key", "rotate", "--vault-key", "identity", code=2)
        box.run("key", "rotate", "--vault-key", "--identity", box.path("officer.identity"), code=4)
        self.assertEqual(values_of(box, box.ids()[:1], ["full_name"], *cli_test.EXCHANGE, "--identity", box.path("officer.identity")),
                         values_of(box, box.ids()[:1], ["full_name"]))
        self.assertTrue(box.json("audit", "verify")["ok"])

    def test_new_keys_of_a_principal(self):
        box = self.box()
        officer = ["--identity", box.path("officer.identity")]
        made = box.json("identity", "new", "officer", "--out", box.path("officer-2.identity"), vault=False)
        other = box.json("identity", "new", "other", "--out", box.path("other.identity"), vault=False)
        box.run("principal", "rekey", "--public", box.write("other.pub", other["public"]), *officer, code=11)
        done = box.json("principal", "rekey", "--public", box.write("officer-2.pub", made["public"]), "--invitation", box.path("i"), *officer)
        self.assertEqual((done["name"], done["role"]), ("officer", "officer"))
        box.run("status", *officer, code=4)
        fresh = ["--identity", box.path("officer-2.identity")]
        box.run("status", *fresh, code=4)  # the vault is not pinned yet
        box.run("vault", "accept", box.path("i"), *fresh)
        self.assertEqual(box.json("status", *fresh)["role"], "officer")
        box.json("add", "person", "full_name=Mới", *fresh)
        self.assertTrue(box.json("doctor", "--deep")["ok"])

    def test_grants_that_expire_and_that_may_be_given_on(self):
        box = self.box()
        box.run("grant", "add", "analyst", "contact", "--expires", "2020-01-01", code=2)
        box.run("grant", "add", "analyst", "contact", "--expires", "soon", code=2)
        box.json("grant", "add", "analyst", "contact", "--expires", "2999-12-31", "--may-grant")
        person = {p["name"]: p for p in box.json("principal", "list")}["analyst"]
        self.assertEqual(person["expires"], {"contact": "2999-12-31T00:00:00.000Z"})
        self.assertIn("contact", person["may_grant"])
        box.run("grant", "add", "analyst", "contact", code=6)

    def test_functional_roles_are_those_of_the_schema(self):
        box = self.box()
        made = box.json("identity", "new", "nurse", "--out", box.path("nurse.identity"), vault=False)
        public = box.write("nurse.pub", made["public"])
        add = ["principal", "add", "nurse", "--public", public, "--role", "officer", "--grant", "health"]
        box.run(*add, "--functional-role", "gardener", code=11)
        box.json(*add, "--functional-role", "health_worker,psychologist")

    def test_an_epoch_is_retired(self):
        box = self.box()
        box.run("key", "retire", "identity", "1", code=4)
        box.json("key", "rotate", "identity")
        box.run("key", "retire", "identity", "1", code=4)
        box.json("key", "reencrypt")
        self.assertEqual(box.json("key", "retire", "identity", "1")["epoch"], 1)
        keys = {(k["compartment"], k["epoch"]): k["state"] for k in box.json("key", "list")}
        self.assertEqual(keys["identity", 1], "retired")
        box.run("key", "retire", "identity", "1", code=6)
        box.run("key", "destroy", "identity", "1", "--confirm", "identity:1")

    def test_a_vault_whose_owner_is_a_quorum(self):
        box = cli_test.Box(self.id().rsplit(".", 1)[1])
        shares = box.path("shares")
        init = ["init", box.vault, "--identity-out", box.path("q.identity")]
        for quorum in ("1/3", "4/3", "2/33", "x", "2"):
            box.run(*init, "--quorum", quorum, "--shares-dir", shares, vault=False, secret=False, code=2)
        box.run(*init, "--quorum", "2/3", vault=False, secret=False, code=2)
        self.assertFalse(box.vault.exists() or shares.exists())
        made = box.json(*init, "--quorum", "2/3", "--shares-dir", shares, vault=False, secret=False)
        self.assertEqual(made["shares"], str(shares))
        files = sorted(shares.iterdir())
        self.assertEqual(len(files), 3)
        for file in files:
            self.assertEqual((file.read_text().count("\n"), file.stat().st_mode & 0o777), (1, 0o600))
        opened = ["--identity", box.path("q.identity")]
        box.run("status", *opened, "--share", files[0], secret=False, code=7)
        self.assertEqual(box.json("status", *opened, "--share", files[0], "--share", files[2], secret=False)["role"], "owner")
        altered = files[1].read_text()
        for at in (0, len(altered) // 2, len(altered) - 2):  # every character is checked
            files[1].write_text(altered[:at] + ("A" if altered[at] != "A" else "B") + altered[at + 1:])
            box.run("status", *opened, "--share", files[0], "--share", files[1], secret=False, code=11)

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

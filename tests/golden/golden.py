#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The golden vault of format version 1: made once, opened for ever.

`golden.py make COMMAND` wrote vault_v1.tar.gz and expected.json with the first release of the format and must not be run again
for version 1. `golden.py check COMMAND` (ctest `golden`) unpacks a copy and requires that everything in it still opens and says
the same. Vault and passphrase are public; nobody real is in it.
"""
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ARCHIVE = HERE / "vault_v1.tar.gz"
EXPECTED = HERE / "expected.json"
PASSPHRASE = "golden vault, public passphrase\n"

RECORDS = [
    {"full_name": "Nguyễn Thị Hòa", "aliases": "Hoa; 花", "dob": "1990-05", "dob_precision": "month", "phone": "0912 000 001",
     "narrative": "dòng một\ndòng hai \"trích\"\n" + "dài " * 900, "sex": "female", "status": "identified",
     "status_date": "2024-02-29", "exploitation_type": "ForcedLabour;Servitude", "province_code": "14",
     "province_edition": "2024", "needs_accepted": "shelter;legal_aid", "health_note": "-"},
    {"full_name": "Ðỗ Văn Ðức", "sex": "male", "intake_date": "2019"},
    {"full_name": "Thi\u0323 Hoa\u0300", "shelter": "Nhà 1"},
]


class Vault:
    def __init__(self, command, folder):
        self.command, self.folder = command, pathlib.Path(folder)
        self.passphrase = self.folder / "passphrase"
        self.state = self.folder / "state"

    def run(self, *arguments, identity="owner"):
        environment = dict(os.environ, XDG_STATE_HOME=str(self.state))
        done = subprocess.run(
            [self.command, "--vault", str(self.folder / "vault"), "--identity", str(self.folder / f"{identity}.identity"),
             "--passphrase-file", str(self.passphrase), "--no-input", "--json", *map(str, arguments)],
            capture_output=True, env=environment, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{arguments}: exit {done.returncode}: {done.stderr.decode()}")
        return json.loads(done.stdout) if done.stdout else None

    def say(self, to, ids, fields, identity="owner", purpose="protection", basis="protection_order"):
        return self.run("disclose", *ids, "--fields", ",".join(fields), "--purpose", purpose, "--basis", basis, "--to", to,
                        identity=identity)


def make(command):
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(command, folder)
        vault.passphrase.write_text(PASSPHRASE)
        vault.passphrase.chmod(0o600)
        first = vault.run("init", vault.folder / "vault", "--name", "owner", "--identity-out", vault.folder / "owner.identity")
        (vault.folder / "log_key").write_text(first["log_key"] + "\n")
        public = vault.run("identity", "new", "analyst", "--out", vault.folder / "analyst.identity")["public"]
        (vault.folder / "analyst.pub").write_text(public + "\n")
        vault.run("principal", "add", "analyst", "--public", vault.folder / "analyst.pub", "--role", "analyst", "--grant",
                  "statistics", "--invitation", vault.folder / "invitation")
        vault.run("vault", "accept", vault.folder / "invitation", identity="analyst")
        ids = [vault.run("add", "person", *(f"{k}={v}" for k, v in RECORDS[0].items()))["id"]]
        rows = vault.folder / "rows.jsonl"
        rows.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in RECORDS[1:]))
        vault.run("import", "person", rows, "--ids-out", vault.folder / "ids")
        ids += (vault.folder / "ids").read_text().split()
        vault.run("update", ids[1], "status=suspected", "phone=111")
        vault.say("golden", ids[:1], ["full_name"])
        vault.run("audit", "prove", 5, "--out", vault.folder / "receipt")
        vault.run("audit", "checkpoint", "--out", vault.folder / "checkpoint")
        wanted = [dict(r) for r in RECORDS]
        wanted[1].update(status="suspected", phone="111")
        status = vault.run("status")
        EXPECTED.write_text(json.dumps({"id": first["id"], "ids": ids, "records": wanted, "size": status["log_size"],
                                        "root": status["root"]}, ensure_ascii=False, indent=1) + "\n")
        with tarfile.open(ARCHIVE, "w:gz") as archive:
            for name in ("vault", "owner.identity", "analyst.identity", "log_key", "receipt", "checkpoint"):
                archive.add(vault.folder / name, arcname=name)


def require(condition, what):
    if not condition:
        raise SystemExit(f"golden vault: {what}")


def check(command):
    expected = json.loads(EXPECTED.read_text())
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(command, folder)
        with tarfile.open(ARCHIVE) as archive:
            for member in archive.getmembers():  # the archive is ours; owners of other machines are not
                member.uid, member.gid = os.getuid(), os.getgid()
                archive.extract(member, folder)
        vault.passphrase.write_text(PASSPHRASE)
        vault.passphrase.chmod(0o600)
        status = vault.run("status")
        require((status["id"], status["log_size"], status["root"]) == (expected["id"], expected["size"], expected["root"]),
                "id, size or root of the log differ")
        report = vault.run("audit", "verify", "--anchor", vault.folder / "checkpoint")
        require(report["ok"] and report["root"] == expected["root"], f"the log does not verify: {report}")
        receipt = vault.run("receipt", "verify", vault.folder / "receipt", "--log-key", vault.folder / "log_key")
        require(receipt["ok"], "the receipt does not verify")
        fields = [f for f in expected["records"][0]] + ["intake_date", "shelter", "outcome"]
        found = vault.say("check", expected["ids"], fields)["disclosures"]
        for id_, record, got in zip(expected["ids"], expected["records"], found, strict=True):
            require(got["id"] == id_ and got["values"] == {f: record.get(f) for f in fields}, f"record {id_} reads differently")
        analyst = vault.say("check", expected["ids"], ["sex", "status"], identity="analyst", purpose="statistics",
                            basis="state_agency_duty")
        require([d["values"]["sex"] for d in analyst["disclosures"]] == ["female", "male", None], "the analyst reads differently")
        history = vault.run("history", expected["ids"][1])
        require([v["version"] for v in history["versions"]] == [1, 2], "the history reads differently")
    print(f"golden vault: {len(found)} records and {expected['size']} entries read as written")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](str(pathlib.Path(sys.argv[2]).resolve()))

# SPDX-License-Identifier: Apache-2.0
"""Identities, principals, grants, epochs, doctor: what key administrators do, from Python."""

import copy
import datetime
import os
import pathlib
import pickle
import re
import shutil

import pytest

import casevault
from conftest import CHEAP, PASSPHRASE, ROOT

HOUR = datetime.timedelta(hours=1)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def newcomer(place, name):
    public = casevault.create_identity(place.folder / f"{name}.identity", name=name, passphrase=PASSPHRASE, memory_mib=CHEAP)
    return lambda invitation: casevault.accept(invitation, identity=place.folder / f"{name}.identity", passphrase=PASSPHRASE,
                                               state_folder=place.state), public


def test_nothing_of_the_public_headers_is_missing():
    """Every function of them has its Python name here; a new one fails this test until it has one."""
    names = {
        "Session": {
            "init": "init", "open": "open", "accept": "accept", "schema": "Vault.schema", "status": "Vault.status", "add": "Vault.add",
            "update": "Vault.update", "list": "Vault.records", "history": "Vault.history", "import_rows": "Vault.import_rows",
            "disclose": "Vault.disclose", "find": "Vault.find", "duplicates": "Vault.duplicates", "merge": "Vault.merge",
            "same_person": "Vault.same_person", "indicators": "Vault.indicators", "table": "Vault.table", "tabulate": "Vault.tabulate", "release": "Vault.release",
            "ledger": "Vault.ledger", "record_budget": "Vault.record_budget", "verify_log": "Audit.verify", "read_log": "Audit.entries",
            "prove": "Audit.prove", "checkpoint": "Audit.checkpoint", "add_principal": "Vault.add_principal",
            "principals": "Vault.principals", "grant": "Vault.grant", "revoke": "Vault.revoke", "revoke_grant": "Vault.revoke_grant",
            "rekey": "Vault.rekey", "keys": "Keys.__iter__", "rotate_vault_key": "Keys.rotate_vault_key", "retire_epoch": "Keys.retire",
            "rotate": "Keys.rotate", "reencrypt": "Vault.reencrypt", "census": "Keys.census", "destroy_epoch": "Keys.destroy",
            "close": "Vault.close",
        },
        "Identity": {
            "create": "Identity.create", "open": "Identity.open", "inspect": "Identity.inspect", "name": "Identity.name",
            "public_string": "Identity.public", "pins": "Identity.pins", "file": "Identity.file", "slots": "Identity.slots",
            "add_slot": "Identity.add_slot", "split": "Identity.split", "remove_slot": "Identity.remove_slot", "impl": None,
        },
        "Disclosure": {"next": "Disclosure.__next__", "entry": "Disclosure.entry", "basis": "Disclosure.basis", "receipt": "Disclosure.receipt"},
        "Release": {"columns": "Release.columns", "rows": "Release.__len__", "value": "Release.__arrow_c_stream__", "entry": "Release.entry",
                    "name": "Release.name", "basis": "Release.basis", "k": "Release.k", "distinct": "Release.distinct",
                    "dropped": "Release.dropped", "starred": "Release.starred", "schema": "Release.__arrow_c_schema__",
                    "stream": "Release.__arrow_c_stream__"},
        "Schema": {"parse": "Schema.parse", "bundled": "Schema.bundled", "name": "Schema.name", "version": "Schema.version",
                   "compartments": "Schema.compartments", "find_compartment": None, "types": "Schema.types", "find_type": None,
                   "find_list": "Field.codes", "purposes": "Schema.purposes", "find_purpose": None, "bases": "Schema.bases",
                   "recipient_classes": "Schema.recipient_classes", "functional_roles": "Schema.functional_roles", "rules": "Schema.rules",
                   "warnings": "Schema.warnings", "source": "Schema.source", "indicators": None, "find_indicator": None},
    }
    free = {
        "verify_receipt": "verify_receipt", "verify_checkpoint": "verify_checkpoint", "memory_lock_status": "memory_lock_status",
        "examine": "doctor", "generate_passphrase": "generate_passphrase", "default_state_folder": "default_state_folder", "name_of": None,
        "as_bytes": None, "as_text": None, "exit_code": None,
    }
    headers = "\n".join(file.read_text() for file in sorted((ROOT / "include" / "casevault").glob("*.hpp")))
    call = re.compile(r"^ {2}(?:\[\[nodiscard\]\] )?(?!explicit|return|struct|operator)[\w:<>&,* ]+?[ &*](\w+)\(", re.M)
    for owner, known in names.items():
        body = re.search(rf"^class CASEVAULT_API {owner} {{$(.*?)^ private:$", headers, re.M | re.S).group(1)
        declared = set(call.findall(body)) - {owner}
        assert declared == set(known), (owner, declared ^ set(known))
        for name in filter(None, known.values()):
            target = casevault
            for part in name.split("."):
                target = getattr(target, part)
    functions = set(re.findall(r"^\[\[nodiscard\]\] (?:CASEVAULT_API |inline |constexpr )*[\w:<>&,* ]+?[ &*](\w+)\(", headers, re.M))
    assert functions == set(free), functions ^ set(free)
    assert all(hasattr(casevault, name) for name in filter(None, free.values()))


def test_a_principal_holds_what_it_was_granted_until_it_expires_or_is_taken_back(place):
    accept, public = newcomer(place, "linh")
    with place.open() as vault:
        accept(vault.add_principal("linh", public=public, role="officer", unit="hanoi", grants=["identity"], may_grant=True, expires=now() + HOUR))
        [linh] = [who for who in vault.principals() if who["name"] == "linh"]
        assert (linh["role"], linh["unit"], linh["grants"], linh["may_grant"], linh["revoked"]) == (
            "officer", "hanoi", ["identity"], ["identity"], None)
        assert datetime.timedelta() < linh["expires"]["identity"] - now() <= HOUR
        id = next(vault.records("person")).id

    def reads(field):
        with place.open("linh") as vault:
            try:
                return len(list(vault.disclose([id], fields=[field], purpose="reception", recipient="x"))) == 1
            except (casevault.NoGrant, casevault.Refused):
                return False

    def owner(act):
        with place.open() as vault:
            return act(vault)

    assert reads("full_name") and not reads("phone")
    owner(lambda vault: vault.grant("linh", "contact"))
    assert reads("full_name") and reads("phone")
    owner(lambda vault: vault.revoke_grant("linh", ["contact"]))
    assert reads("full_name") and not reads("phone")
    owner(lambda vault: vault.revoke_grant("linh", ["identity"]))
    owner(lambda vault: vault.grant("linh", ["identity"], expires=now() + HOUR))
    assert reads("full_name")
    owner(lambda vault: vault.revoke_grant("linh", "identity"))
    assert not reads("full_name")
    with place.open("linh") as vault:
        with pytest.raises(casevault.NoGrant):
            vault.grant("analyst", ["contact"])
    entry = owner(lambda vault: vault.revoke("linh"))
    with pytest.raises(casevault.Error):
        place.open("linh")
    assert [who["revoked"] for who in owner(lambda vault: vault.principals()) if who["name"] == "linh"] == [entry]
    with pytest.raises(casevault.Usage):
        owner(lambda vault: vault.grant("analyst", ["identity"], expires=datetime.datetime(2030, 1, 1)))


def test_epochs_are_rotated_counted_retired_and_destroyed(place):
    with place.open() as vault:
        assert vault.keys.rotate("contact")[:2] == (1, 2)
        with pytest.raises(casevault.Refused):
            vault.keys.destroy("contact", 1)
        assert vault.keys.census()["old_cells"] > 0
        assert vault.reencrypt()["finished"]
        census = vault.keys.census()
        assert census["old_cells"] == 0 and census["old_indexes"] == 0 and census["entry"] is not None
        assert vault.keys.retire("contact", 1) > census["entry"]
        destroyed = vault.keys.destroy("contact", 1)
        assert [key["state"] for key in vault.keys if key["compartment"] == "contact"] == ["destroyed", "current"]
        before = vault.status()
        assert vault.keys.rotate_vault_key() > destroyed
        after = vault.status()
        assert after["vault_key_epoch"] == before["vault_key_epoch"] + 1 and after["log_key"] != before["log_key"]
        assert vault.reencrypt(index=True)["finished"]
        assert vault.audit.verify()["ok"]
    with place.open("analyst") as vault:
        with pytest.raises(casevault.Refused):
            vault.keys.rotate_vault_key()


def test_new_keys_of_a_principal_take_the_place_of_the_old_ones(place):
    public = casevault.create_identity(place.folder / "new.identity", name="analyst", passphrase=PASSPHRASE, memory_mib=CHEAP)
    with place.open("analyst") as vault:
        invitation = vault.rekey(public)
    casevault.accept(invitation, identity=place.folder / "new.identity", passphrase=PASSPHRASE, state_folder=place.state)
    with place.open("new") as vault:
        assert vault.status()["principal"] == "analyst"
        assert vault.tabulate("person", rows="sex").total
    with pytest.raises(casevault.Error):
        place.open("analyst").status()


def test_an_identity_opens_by_each_of_its_slots_and_the_last_cannot_go(tmp_path):
    tmp_path.chmod(0o700)
    file, passphrase = tmp_path / "i", casevault.generate_passphrase()
    with casevault.Identity.create(file, name="Lan", passphrase=casevault.Unlock.passphrase(passphrase), memory_mib=CHEAP, passes=1) as made:
        assert (made.name, made.file, made.pins) == ("Lan", str(file), [])
        key = made.add_slot(casevault.NewSlot.new_key_file(tmp_path / "key"))
        quorum = made.split(2, 3, tmp_path / "shares")
        assert [slot["kind"] for slot in made.slots()] == ["passphrase", "keyfile", "shares"]
        with pytest.raises(casevault.Usage):
            made.add_slot(casevault.NewSlot.new_key_file(tmp_path / "key"))
        made.remove_slot(made.slots()[0]["id"])
    for slot in (made, lambda: made.name):
        with pytest.raises(casevault.Usage):
            casevault.accept("x", identity=made) if slot is made else slot()
    for held in (made, passphrase, casevault.Unlock.passphrase(passphrase), casevault.NewSlot.age("age1x")):
        for take_away in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                take_away(held)
    shares = sorted((tmp_path / "shares").iterdir())
    with casevault.Identity.open(file, casevault.Unlock.key_file(tmp_path / "key"), tmp_path / "s") as opened:
        assert opened.public == casevault.Identity.inspect(file)["public"]
        opened.remove_slot(key)
        with pytest.raises(casevault.Usage):
            opened.remove_slot(quorum)
        with pytest.raises(casevault.NotFound):
            opened.remove_slot("0" * 16)
    assert casevault.Identity.inspect(file)["slots"] == [{"id": quorum, "kind": "shares", "detail": "2 of 3"}]
    with pytest.raises(casevault.Waiting):
        casevault.Identity.open(file, casevault.Unlock.shares(shares[:1]), tmp_path / "s")
    casevault.Identity.open(file, casevault.Unlock.shares(shares[1:]), tmp_path / "s").close()
    with pytest.raises(casevault.WrongKey):
        casevault.Identity.open(file, casevault.Unlock.passphrase(passphrase), tmp_path / "s")
    assert passphrase.reveal() not in repr(passphrase) + repr(made) + repr(casevault.Unlock.passphrase(passphrase))


@pytest.mark.parametrize("suite", [1, 2, 3])
def test_an_owner_can_be_a_quorum_from_the_first_moment_in_every_suite(tmp_path, suite):
    tmp_path.chmod(0o700)
    with pytest.raises(casevault.Usage):
        casevault.init(tmp_path / "v", identity=tmp_path / "o", state_folder=tmp_path / "s")
    with pytest.raises(casevault.Usage):
        casevault.init(tmp_path / "v", identity=tmp_path / "o", state_folder=tmp_path / "s", passphrase="x", suite=4)
    casevault.init(tmp_path / "v", identity=tmp_path / "o", quorum=(2, 3, tmp_path / "shares"), suite=suite, state_folder=tmp_path / "s")
    shares = sorted((tmp_path / "shares").iterdir())
    assert len(shares) == 3
    unlock = casevault.Unlock.shares(shares[:2])
    with casevault.open(tmp_path / "v", identity=tmp_path / "o", unlock=unlock, state_folder=tmp_path / "s") as vault:
        assert vault.status()["suite"] == suite
        vault.add("person", {"full_name": "Một Hai"})
    with pytest.raises(casevault.Usage):
        casevault.open(tmp_path / "v", identity=tmp_path / "o", passphrase="x", unlock=unlock)
    with pytest.raises(casevault.Usage):
        casevault.open(tmp_path / "v", identity=tmp_path / "o")


def test_doctor_is_content_with_a_whole_vault_and_names_what_was_altered(place):
    def examine(**more):
        return casevault.doctor(place.vault, identity=place.folder / "owner.identity", passphrase=PASSPHRASE, state_folder=place.state, **more)

    stages = []
    whole = examine(deep=True, progress=lambda stage, done, total: stages.append(stage))
    assert whole["ok"] and whole["records"] == 2000 and whole["cells"] > 0 and stages
    with pytest.raises(casevault.Cancelled):
        examine(deep=True, progress=lambda *_: False)
    with casevault.Identity.open(place.folder / "owner.identity", casevault.Unlock.passphrase(PASSPHRASE), place.state) as identity:
        with pytest.raises(casevault.Busy):  # and neither hangs nor loses the keys that are in use
            casevault.doctor(place.vault, identity=identity, state_folder=place.state, deep=True, progress=lambda *_: identity.close())
        assert identity.name == "owner"
    data = place.vault / "data.mdb"
    content = bytearray(data.read_bytes())
    for page in range(4096 * 40, len(content), 4096):
        content[page + 2000] ^= 1
    data.write_bytes(content)
    torn = examine(deep=True)
    assert not torn["ok"] and torn["worst"] == "error"
    assert all(each["where"] and each["what"] for each in torn["findings"])


def test_a_vault_opens_read_only_with_anchors_and_a_named_trust(place):
    with place.open() as vault:
        note = vault.audit.checkpoint()
        facts = casevault.verify_checkpoint(note, vault.status()["log_key"])
        assert facts["size"] == vault.status()["log_size"] and facts["root"] == vault.status()["root"]
        with pytest.raises(casevault.Integrity):
            casevault.verify_checkpoint(note.replace("\n", "\n1", 1), vault.status()["log_key"])
        id = vault.status()["id"]
        assert vault.audit.verify(note)["ok"]
    anchor = place.folder / "anchor"
    anchor.write_text(note)
    anchor.chmod(0o600)
    with place.open(read_only=True, anchors=[anchor]) as vault:
        assert vault.status()["id"] == id
        with pytest.raises(casevault.Error):
            vault.add("person", {"full_name": "x"})
    shutil.copytree(place.vault, place.folder / "short")
    with place.open() as vault:
        vault.add("person", {"full_name": "Một Hai"})
        anchor.write_text(vault.audit.checkpoint())
    with pytest.raises(casevault.RolledBack):
        casevault.open(place.folder / "short", identity=place.folder / "owner.identity", passphrase=PASSPHRASE,
                       state_folder=place.folder / "elsewhere", anchors=[anchor])
    accept, public = newcomer(place, "late")
    with place.open() as vault:
        vault.add_principal("late", public=public, role="analyst")
    with pytest.raises(casevault.Untrusted):
        place.open("late")
    with pytest.raises(casevault.Untrusted):
        place.open("late", trust_id="0" * 64)
    place.open("late", trust_id=id).close()


def test_history_lists_versions_and_an_import_tells_of_its_bad_rows(place):
    with place.open() as vault:
        written = vault.add("person", {"full_name": "Một Hai", "sex": "female"})
        changed = vault.update(written.id, {"sex": "male"})
        versions = vault.history(written.id)
        assert [(each["version"], each["entry"], each["action"], each["actor"]) for each in versions] == [
            (1, written.entry, "add", "owner"), (2, changed.entry, "update", "owner")]
        assert all(abs(each["time"] - now()) < HOUR for each in versions)
        rows = [{"full_name": "Ba"}, {"full_name": "Bốn", "sex": "no such code"}, {"full_name": "Năm"}]
        before = vault.status()["log_size"]
        with pytest.raises(casevault.BadInput, match="row 2.*sex"):
            vault.import_rows("person", rows)
        tried = vault.import_rows("person", rows, dry_run=True)
        assert (tried.rejected, tried.entry, tried.problems[0][:2]) == (1, None, (2, "sex"))
        assert vault.status()["log_size"] == before
        assert vault.import_rows("person", rows, dry_run=True, skip_bad_rows=True).problems == tried.problems
        done = vault.import_rows("person", rows, skip_bad_rows=True)
        assert (done.imported, done.rejected, len(done.ids)) == (2, 1, 2)
        assert done.problems[0][:2] == (2, "sex") and "no such code" not in str(done.problems) + repr(done)
        ids, entry = done
        assert entry == before and [record.id for record in vault.records("person", after=changed.id)] == ids
        assert len(list(vault.records("person", limit=1500))) == 1500 and not list(vault.records("person", limit=0))


def test_the_schema_in_force_says_what_may_be_asked(place):
    with place.open("analyst") as vault:
        schema = vault.schema()
        fields = {field.name: field for field in schema.fields("person")}
        assert fields["sex"].codes and fields["sex"].compartment == "statistics" and fields["full_name"].index == "name"
        assert fields["full_name"].trait == "name" and not fields["full_name"].codes
        purposes = {purpose.code: purpose for purpose in schema.purposes}
        assert purposes["statistics"].default_basis in purposes["statistics"].bases
        assert "person" in schema.types and "statistics" in schema.compartments and schema.rules and schema.name in repr(schema)
        with pytest.raises(casevault.NotFound):
            schema.fields("car")
        with pytest.raises(casevault.BadInput):
            casevault.Schema.parse("name = 3")
        with pytest.raises(casevault.NotFound):
            casevault.Schema.bundled("nothing")


def test_what_was_disclosed_is_no_wrong_value_in_a_forked_child(place, people):
    with place.open() as vault:
        ids = [record.id for record in vault.records("person", limit=2)]
        released = vault.disclose(ids, fields=["full_name"], purpose="reception", recipient="x")
        row = next(released)
        secret = row["full_name"]
        child = os.fork()
        if child == 0:
            told = 0
            for act in (secret.reveal, row.reveal, lambda: row["full_name"].reveal(), lambda: next(released).reveal()):
                try:
                    act()
                except casevault.Usage:
                    told += 1
                except BaseException:
                    pass
            os._exit(told)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
        assert secret.reveal() == people[0]["full_name"]


def test_a_path_is_taken_as_text_or_path_and_anything_else_is_refused(place):
    for path in (place.vault, str(place.vault), os.fsencode(place.vault)):
        casevault.open(pathlib.Path(os.fsdecode(path)), identity=place.folder / "owner.identity", passphrase=PASSPHRASE,
                       state_folder=place.state).close()
    for path in (3, None, "a\0b"):
        with pytest.raises((TypeError, ValueError)):
            casevault.open(path, identity=place.folder / "owner.identity", passphrase=PASSPHRASE, state_folder=place.state)

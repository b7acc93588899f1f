# SPDX-License-Identifier: Apache-2.0
"""A vault with the register of 2,000 invented people, made once; each test that writes gets a copy."""

import csv
import pathlib
import shutil

import pytest

import casevault

ROOT = pathlib.Path(__file__).resolve().parents[3]
PASSPHRASE = "sáu từ đơn giản không ai đoán"
CHEAP = 64  # MiB: what the passphrase costs


class Place:
    def __init__(self, folder):
        self.folder = folder
        self.vault = folder / "vault"
        self.state = folder / "state"

    def open(self, who="owner", **more):
        return casevault.open(self.vault, identity=self.folder / f"{who}.identity", passphrase=PASSPHRASE, state_folder=self.state, **more)


@pytest.fixture(scope="session")
def people():
    with (ROOT / "tests" / "data" / "registry_vn.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def made(tmp_path_factory, people):
    folder = tmp_path_factory.mktemp("made")
    folder.chmod(0o700)
    place = Place(folder)
    facts = casevault.init(place.vault, identity=folder / "owner.identity", passphrase=PASSPHRASE, state_folder=place.state, memory_mib=CHEAP)
    (folder / "log.key").write_text(facts["log_key"])
    public = casevault.create_identity(folder / "analyst.identity", name="analyst", passphrase=PASSPHRASE, memory_mib=CHEAP)
    with place.open() as vault:
        ids, _ = vault.import_rows("person", people)
        assert len(ids) == len(people)
        invitation = vault.add_principal("analyst", public=public, role="analyst", grants=["statistics"])
    casevault.accept(invitation, identity=folder / "analyst.identity", passphrase=PASSPHRASE, state_folder=place.state)
    return place


@pytest.fixture
def place(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "copy")
    (tmp_path / "copy").chmod(0o700)
    return Place(tmp_path / "copy")

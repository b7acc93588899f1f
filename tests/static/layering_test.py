# SPDX-License-Identifier: Apache-2.0
"""Includes go downwards. This is the list of what may include what; CMake does not enforce it."""

import re
import tempfile
import unittest
from pathlib import Path

from tree import CXX, ROOT, files

# Each module and the layers right below it; everything further down is allowed too, siblings are not.
BELOW = {
    "base": [],
    "crypto": ["base"],
    "format": ["base"],
    "age": ["crypto", "format"],
    "store": ["crypto", "format"],
    "log": ["crypto", "format"],
    "audit": ["crypto", "format"],
    "keys": ["age", "store", "log", "audit"],
    "model": ["keys"],
    "policy": ["keys"],
    "vault": ["model", "policy"],
    "disclosure": ["vault"],
    "analytics": ["vault"],
    "maintenance": ["vault"],
    # Clients: the public headers and nothing of the inside.
    "capi": [],
    "cli": [],
}
CLIENT_FOLDERS = {"bindings": "python", "examples": "examples", "tests/consumer": "consumer"}
CLIENTS = {"capi", "cli", *CLIENT_FOLDERS.values()}
C_HEADERS = {"stddef.h", "stdint.h", "stdbool.h"}  # for casevault.h

INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b[ \t]*(.*?)[ \t]*$", re.MULTILINE)
TARGET = re.compile(r'[<"]([^>"]+)[>"]')


def allowed(module):
    """The module and everything below it."""
    seen, pending = set(), [module]
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending += BELOW.get(name, [])
    return seen


def owner(path):
    """The module that a file (relative to the tree) belongs to; None where every include is welcome (tests, fuzz)."""
    for folder, client in CLIENT_FOLDERS.items():
        if path.startswith(folder + "/"):
            return client
    if path.startswith("include/"):
        return "include"
    return path.split("/")[1] if path.startswith("src/") and path.count("/") > 1 else None


def third_party(target, path, module):
    if target == "sodium.h" or target.startswith("sodium/"):
        return module == "crypto" or (module == "base" and path.endswith(".cpp"))
    if target.startswith("openssl/"):
        return module == "crypto"
    if target == "lmdb.h":
        return module == "store"
    return True


def problem(path, module, include):
    """Why `path` of `module` must not hold this include, or None."""
    parsed = TARGET.fullmatch(include.split("//")[0].strip())
    if not parsed:
        return "is computed, so nobody can check it"
    target = parsed[1]
    if ".." in target.split("/"):
        return "leaves its folder by '..'"
    if not third_party(target, path, module):
        return f"{module} must not know this library"
    first = target.split("/")[0] if "/" in target else None
    if module == "include":
        public = first == "casevault" or (first is None and (re.fullmatch(r"[a-z_]+", target) or target in C_HEADERS))
        return None if public else "public headers include only the standard library and each other"
    if module in CLIENTS and first in BELOW and first != module:
        return f"{module} sees the public headers only"
    if first in BELOW and first not in allowed(module):
        return f"{module} must not know {first}"
    return None


def violations(root):
    found, base_with_sodium = [], set()
    for top in ("include", "src", "bindings", "examples", "tests/consumer"):
        for file in files(root, under=top, suffixes=CXX):
            path = file.relative_to(root).as_posix()
            module = owner(path)
            if module is None or (path.startswith("src/") and module not in BELOW):
                found.append(f"{path}: belongs to no module of the table")
                continue
            for include in INCLUDE.findall(file.read_text(encoding="utf-8")):
                reason = problem(path, module, include)
                if reason:
                    found.append(f"{path}: {include}: {reason}")
                if module == "base" and "sodium" in include:
                    base_with_sodium.add(path)
    if len(base_with_sodium) > 2:
        found.append(f"more than two files of base know sodium: {', '.join(sorted(base_with_sodium))}")
    return found


class Layering(unittest.TestCase):
    def test_every_include_of_the_tree_goes_downwards(self):
        self.assertEqual(violations(ROOT), [])


class SelfTest(unittest.TestCase):
    """A check that never fails checks nothing."""

    def verdict(self, *sources):
        with tempfile.TemporaryDirectory() as folder:
            for path, include in sources:
                file = Path(folder) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"#include {include}\n", encoding="utf-8")
            return violations(Path(folder))

    def test_made_up_violations_are_caught(self):
        for path, include in [
            ("src/base/file.cpp", '"crypto/hash.hpp"'),  # upwards
            ("src/crypto/aead.cpp", '"format/cbor.hpp"'),  # sideways
            ("src/policy/policy.cpp", '"model/value.hpp"'),
            ("src/store/lmdb_store.cpp", '"log/log.hpp"'),
            ("src/audit/merkle.cpp", '"keys/grants.hpp"'),
            ("src/keys/grants.cpp", '"model/value.hpp"'),
            ("src/disclosure/grant.cpp", '"analytics/arrow.hpp"'),
            ("src/audit/merkle.cpp", "<vault/session.hpp>"),  # brackets hide nothing
            ("src/audit/merkle.cpp", '"../vault/session.hpp"'),
            ("src/audit/merkle.cpp", "SOMETHING"),
            ("src/cli/main.cpp", '"vault/session.hpp"'),
            ("src/cli/main.cpp", '"base/text.hpp"'),
            ("src/capi/capi.cpp", '"vault/session.hpp"'),
            ("examples/first.cpp", '"base/text.hpp"'),
            ("bindings/python/src/module.cpp", '"vault/session.hpp"'),
            ("include/casevault/vault.hpp", '"base/text.hpp"'),
            ("include/casevault/vault.hpp", "<sodium.h>"),
            ("include/casevault/vault.hpp", "<gsl/gsl>"),
            ("src/keys/identity.cpp", "<sodium.h>"),
            ("src/keys/identity.cpp", "<sodium/utils.h>"),
            ("src/base/secret.hpp", "<sodium.h>"),
            ("src/audit/note.cpp", "<openssl/evp.h>"),
            ("src/vault/session.cpp", "<lmdb.h>"),
            ("src/novelty/x.cpp", "<vector>"),
        ]:
            with self.subTest(path=path, include=include):
                self.assertEqual(len(self.verdict((path, include))), 1)

    def test_a_third_sodium_file_in_base_is_caught(self):
        names = ["a", "b", "c"]
        self.assertEqual(self.verdict(*((f"src/base/{name}.cpp", "<sodium.h>") for name in names[:2])), [])
        self.assertEqual(len(self.verdict(*((f"src/base/{name}.cpp", "<sodium.h>") for name in names))), 1)

    def test_what_the_design_allows_passes(self):
        for path, include in [
            ("src/vault/session.cpp", '"base/text.hpp"'),
            ("src/vault/session.cpp", '"vault/unit_of_work.hpp"  // why'),
            ("src/policy/policy.cpp", "<casevault/schema.hpp>"),
            ("src/cli/main.cpp", '"cli/terminal.hpp"'),
            ("src/cli/main.cpp", "<CLI/CLI.hpp>"),
            ("src/crypto/sodium.hpp", "<sodium.h>"),
            ("src/crypto/aead.cpp", "<openssl/evp.h>"),
            ("src/store/lmdb_store.cpp", "<lmdb.h>"),
            ("include/casevault/vault.hpp", "<casevault/record.hpp>"),
            ("include/casevault/casevault.h", "<stdint.h>"),
        ]:
            with self.subTest(path=path, include=include):
                self.assertEqual(self.verdict((path, include)), [])


if __name__ == "__main__":
    unittest.main()

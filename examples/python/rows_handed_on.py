# SPDX-License-Identifier: Apache-2.0
"""Rows for a research partner: years instead of days, provinces of 2025, at least 11 of each combination, stars where needed."""

import argparse
import pathlib

import polars

import casevault


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--vault", "--identity", "--passphrase-file", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--state", default="")
    given = parser.parse_args()
    out = pathlib.Path(given.out)
    out.mkdir(mode=0o700)
    passphrase = pathlib.Path(given.passphrase_file).read_text(encoding="utf-8").splitlines()[0]

    with casevault.open(given.vault, identity=given.identity, passphrase=passphrase, state_folder=given.state) as vault:
        release = vault.release(
            "person",
            columns=["sex", casevault.Column("intake_date", "year"), "province_code", casevault.Column("exploitation_type", sensitive=True)],
            era="2025", distinct=2, star=True, name="research partner", recipient="university")
        frame = polars.DataFrame(release)
        left_out = "fewer than k" if release.dropped is None else release.dropped
        print(f"{len(release)} rows, {left_out} left out, smallest group {release.k}, entry {release.entry}")
    smallest = frame.group_by(["sex", "intake_date", "province_code"]).len()["len"].min()
    if smallest != release.k:
        raise SystemExit("the release is not what it says")
    frame.write_parquet(out / "rows.parquet")


if __name__ == "__main__":
    main()

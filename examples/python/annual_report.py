# SPDX-License-Identifier: Apache-2.0
"""An annual report: tables that expose nobody, as pictures and a page. Each of them stands in the release ledger."""

import argparse
import pathlib

import matplotlib

import casevault

matplotlib.use("Agg")

TABLES = [("intake_date", ""), ("exploitation_type", "sex"), ("intake_channel", "status"), ("province_code", "")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--vault", "--identity", "--passphrase-file", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--state", default="")
    given = parser.parse_args()
    out = pathlib.Path(given.out)
    out.mkdir(mode=0o700)
    passphrase = pathlib.Path(given.passphrase_file).read_text(encoding="utf-8").splitlines()[0]

    page = ["<!DOCTYPE html><meta charset='utf-8'><title>Annual report</title>"]
    with casevault.open(given.vault, identity=given.identity, passphrase=passphrase, state_folder=given.state) as vault:
        for rows, columns in TABLES:
            table = vault.tabulate("person", rows=rows, columns=columns, era="2025", name=f"annual report: {rows}")
            picture = f"{rows}.png"
            figure = table.plot().figure
            figure.savefig(out / picture, dpi=120)
            matplotlib.pyplot.close(figure)
            page += [f"<h2>{rows}</h2>", table._repr_html_(), f"<img src='{picture}' alt='{rows}'>"]
        for each in vault.ledger():
            print(each)
    (out / "report.html").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()

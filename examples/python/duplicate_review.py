# SPDX-License-Identifier: Apache-2.0
"""A review of likely duplicates: the pairs with what speaks for and against them, the two records of the likeliest side by side, and
a merge of it, which is then taken back. All of this stands in the log; the page holds reasons and ids, never a value."""

import argparse
import html
import pathlib

import casevault

PURPOSE = "reception"
FIELDS = ["full_name", "sex", "dob", "nationality"]


def side_by_side(vault: casevault.Vault, pair: casevault.Pair) -> None:
    """Values are for the reviewer's eyes: revealed to the terminal, kept nowhere."""
    released = vault.disclose([pair.a, pair.b], fields=FIELDS, purpose=PURPOSE, recipient="duplicate review")
    left, right = (row.reveal() for row in released)
    print(f"disclosed under entry {released.entry}, basis {released.basis}")
    for field in FIELDS:
        same = "=" if left[field] == right[field] else "≠"
        print(f"  {field:<14}{left[field] or '-':<32}{same}  {right[field] or '-'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--vault", "--identity", "--passphrase-file", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--state", default="")
    parser.add_argument("--min-score", type=float, default=0.6)
    given = parser.parse_args()
    out = pathlib.Path(given.out)
    out.mkdir(mode=0o700)
    passphrase = pathlib.Path(given.passphrase_file).read_text(encoding="utf-8").splitlines()[0]

    with casevault.open(given.vault, identity=given.identity, passphrase=passphrase, state_folder=given.state) as vault:
        pairs = vault.duplicates("person", purpose=PURPOSE, min_score=given.min_score)
        print(f"{len(pairs)} pairs of {pairs.records} records, entry {pairs.entry}")
        if pairs.unheard:
            print("compared without", ", ".join(pairs.unheard), "which this identity may not read")
        for pair in pairs[:5]:
            print(f"  {pair.score:.2f}  {pair.a}  {pair.b}  for: {', '.join(pair.because)}; against: {', '.join(pair.against) or '-'}")
        if pairs:
            likeliest = pairs[0]
            side_by_side(vault, likeliest)
            entry, person = vault.merge(likeliest.a, likeliest.b, reason="reviewed: name, birth and village agree")
            print(f"entry {entry}: one person now has the records {', '.join(person)}")
            if likeliest.b not in vault.same_person(likeliest.a):
                raise SystemExit("the merge is not there")
            entry, person = vault.merge(likeliest.a, likeliest.b, reason="an exercise: taken back", undo=True)
            print(f"entry {entry}: taken back, {', '.join(person)} stands alone")
        title = html.escape(f"Likely duplicates, entry {pairs.entry}")
        (out / "review.html").write_text(f"<!DOCTYPE html><meta charset='utf-8'><title>{title}</title><h1>{title}</h1>{pairs._repr_html_()}",
                                         encoding="utf-8")


if __name__ == "__main__":
    main()

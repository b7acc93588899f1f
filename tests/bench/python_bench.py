# SPDX-License-Identifier: Apache-2.0
"""The installed Python package beside C++, in rounds, on one vault. Usage: python_bench.py PEER [N] [--rounds R] [--json] [--dir DIR].

PEER is casevault_bench_peer, which makes the vault and does the same in C++. Both are timed by the processor's clock of their thread,
since on a shared machine that on the wall tells of others. With --json the report of casevault_bench is read
from stdin, and printed with what is measured here put in."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import pyarrow

import casevault

READS = 20_000
IDS_A_DISCLOSURE = 10_000
FIELD = "full_name"
CODED = "statistics"
TABLE_AT_MOST = 1.3  # times C++
FIELD_AT_MOST = 0.5  # microseconds above C++


def table(vault, ids, columns):
    """All coded columns into Arrow, batch by batch: microseconds a record, and the rows seen."""
    start = time.thread_time()
    reader = pyarrow.RecordBatchReader.from_stream(vault.table("person", columns=columns, purpose="support"))
    rows = sum(batch.num_rows for batch in reader)
    return (time.thread_time() - start) * 1e6 / len(ids), rows


def field(vault, ids):
    """One field of each record as a Python string: microseconds a record, and the characters seen."""
    seen = 0
    start = time.thread_time()
    for at in range(0, len(ids), IDS_A_DISCLOSURE):
        for row in vault.disclose(ids[at:at + IDS_A_DISCLOSURE], fields=[FIELD], purpose="support", recipient="bench"):
            seen += len(row[FIELD].reveal())
    return (time.thread_time() - start) * 1e6 / len(ids), seen


class Peer:
    def __init__(self, program, folder, records):
        self._process = subprocess.Popen([program, folder, str(records)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != "ready\n":
            raise SystemExit("python bench: the C++ side did not start")

    def run(self, what, count):
        self._process.stdin.write(f"{what} {count}\n")
        self._process.stdin.flush()
        each, seen = self._process.stdout.readline().split()
        return float(each), int(seen)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def measure(program, records, rounds, folder):
    """Of both operations the times of C++ and Python, one of each a round."""
    times = {"table": ([], []), "field": ([], [])}
    peer = Peer(program, folder, records)
    try:
        with casevault.open(folder / "vault", identity=folder / "identity", passphrase="bench passphrase", state_folder=folder / "state") as vault:
            ids = [record.id for record in vault.records("person")]
            some = ids[:READS]
            columns = [each.name for each in vault.schema().fields("person") if each.compartment == CODED]
            for number in range(rounds + 1):
                for what, python in (("table", lambda: table(vault, ids, columns)), ("field", lambda: field(vault, some))):
                    ours, theirs = python(), peer.run(what, len(some))
                    if ours[1] != theirs[1]:
                        raise SystemExit(f"python bench: {what}: Python saw {ours[1]}, C++ {theirs[1]}")
                    if number == 0:
                        continue  # everything hot
                    times[what][0].append(theirs[0])
                    times[what][1].append(ours[0])
    finally:
        peer.close()
    return times, len(ids), len(some)


def report(times, records, reads):
    rows, bars = [], []
    for what, n in (("table", records), ("field", reads)):
        cpp, python = times[what]
        ratio = statistics.median(p / c for c, p in zip(cpp, python, strict=True))
        rows.append({"operation": what, "n": n, "cpp_us": statistics.median(cpp), "python_us": statistics.median(python), "ratio": ratio})
    above = statistics.median(p - c for c, p in zip(*times["field"], strict=True))
    bars.append({"name": "Python: table of 14 coded columns against C++", "met": rows[0]["ratio"] <= TABLE_AT_MOST,
                 "value": rows[0]["ratio"], "at_most": TABLE_AT_MOST})
    bars.append({"name": "Python: one field in bulk above C++, us", "met": above <= FIELD_AT_MOST, "value": above, "at_most": FIELD_AT_MOST})
    return rows, bars


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer")
    parser.add_argument("records", nargs="?", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dir")
    given = parser.parse_args()
    whole = json.load(sys.stdin) if given.json else {}  # the other bench has ended before this one begins
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        rows, bars = report(*measure(given.peer, given.records, given.rounds, pathlib.Path(folder)))
    if given.json:
        whole["python"] = rows
        whole["bars"] += bars
        print(json.dumps(whole, indent=2))
        return
    print(f"\nPython package beside C++, microseconds of processor time an operation, medians of {given.rounds} rounds\n")
    print(f"{'operation':<10}{'n':>9}{'C++':>10}{'Python':>10}{'ratio':>9}")
    for row in rows:
        print(f"{row['operation']:<10}{row['n']:>9}{row['cpp_us']:>10.2f}{row['python_us']:>10.2f}{row['ratio']:>9.2f}")
    print("\nBars")
    for bar in bars:
        print(f"  {'met    ' if bar['met'] else 'MISSED '} {bar['name']:<46}{bar['value']:>10.2f}  at most  {bar['at_most']}")


if __name__ == "__main__":
    main()

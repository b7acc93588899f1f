# SPDX-License-Identifier: Apache-2.0
"""The installed package: frames, exceptions, habits."""

import collections
import datetime
import doctest
import io
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import threading

import pytest

import casevault
from conftest import PASSPHRASE, ROOT

CODED = ["sex", "intake_date", "status", "exploitation_type", "province_code"]


def coded(vault, columns=CODED, **more):
    return vault.table("person", columns=columns, purpose="statistics", **more)


def expected(people, columns=CODED):
    """The register as frames give it: dates by their first day, lists as lists."""
    out = []
    for each in people:
        line = []
        for name in columns:
            value = each[name] or None
            if name == "intake_date" and value:
                value = value + "-01" * (2 - value.count("-"))
            if name == "exploitation_type" and value:
                value = value.split(";")
            line.append(value)
        out.append(line)
    return out


def plain(value):
    """A value of any frame library as text or list."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, dict):
        return None if value["date"] is None else str(value["date"])[:10]
    return [str(each) for each in value] if not isinstance(value, str) else value


def test_every_frame_library_reads_the_same_2000_records(place, people):
    import duckdb
    import nanoarrow
    import pandas
    import polars
    import pyarrow

    wanted = expected(people)
    with place.open("analyst") as vault:
        table = coded(vault)
        arrow = pyarrow.table(table)
        arrow.validate(full=True)
        assert [list(map(plain, row.values())) for row in arrow.to_pylist()] == wanted
        frame = polars.DataFrame(table)
        assert [list(map(plain, row)) for row in frame.rows()] == wanted
        pandas_frame = pandas.DataFrame.from_arrow(table)
        assert [list(map(plain, row)) for row in pandas_frame.itertuples(index=False)] == wanted
        people_of = table  # duckdb finds it by its name
        assert people_of is table
        rows = duckdb.sql("SELECT * FROM people_of").fetchall()
        assert [list(map(plain, row)) for row in rows] == wanted
        stream = nanoarrow.ArrayStream(table)
        assert sum(len(batch) for batch in stream) == len(people)


def test_types_and_metadata_are_kept(place):
    import pyarrow

    with place.open("analyst") as vault:
        schema = pyarrow.schema(coded(vault))
    assert schema.field("sex").type == pyarrow.dictionary(pyarrow.int16(), pyarrow.string())
    assert schema.field("exploitation_type").type == pyarrow.list_(pyarrow.field("item", pyarrow.string()))
    date = schema.field("intake_date").type
    assert [date.field(i).name for i in range(date.num_fields)] == ["date", "precision"]
    assert date.field("date").type == pyarrow.date32()
    assert schema.field("sex").metadata[b"casevault.class"] == b"statistics"


def test_looking_at_a_schema_is_no_disclosure_and_reading_again_no_second_one(place):
    import polars
    import pyarrow

    with place.open("analyst") as vault:
        before = vault.status()["log_size"]
        table = coded(vault)
        pyarrow.schema(table)
        repr(table)
        assert table.entry is None and vault.status()["log_size"] == before
        first = polars.DataFrame(table)
        assert polars.DataFrame(table).equals(first)
        assert table.entry == before and vault.status()["log_size"] == before + 1
        entry = vault.audit.entries(before)[0]
        assert (entry["action"], entry["count"], entry["actor"], entry["purpose"]) == ("table", table.rows, "analyst", "statistics")


def test_who_holds_statistics_only_cannot_reach_more(place, people):
    import pyarrow

    names = {each["full_name"].encode() for each in people}
    with place.open("analyst") as vault:
        id = next(vault.records("person")).id
        with pytest.raises(casevault.Error) as refused:
            vault.disclose([id], fields=["full_name"], purpose="statistics", recipient="x")
        assert isinstance(refused.value, (casevault.Refused, casevault.NoGrant))
        for purpose in ("statistics", "reception"):
            with pytest.raises(casevault.Refused):
                vault.table("person", columns=["full_name"], purpose=purpose).__arrow_c_stream__()
        table = pyarrow.table(coded(vault))
        held = b"".join(buffer.to_pybytes() for column in table.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer)
    assert not any(name in held for name in names)
    for file in place.vault.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(name in content for name in list(names)[:200])


def test_disclosed_values_are_secrets(place, people):
    with place.open() as vault:
        ids = [record.id for record in vault.records("person")][:3]
        released = vault.disclose(ids, fields=["full_name", "aliases"], purpose="reception", recipient="intake desk")
        rows = list(released)
        assert [row.id for row in rows] == ids
        name = rows[0]["full_name"]
        assert name.reveal() == people[0]["full_name"]
        assert rows[0].reveal()["full_name"] == people[0]["full_name"]
        assert people[0]["full_name"] not in repr(name) + repr(rows[0]) + repr(released) + str(name)
        with pytest.raises(KeyError):
            rows[0]["phone"]
        for held in (name, rows[0], released, vault):
            with pytest.raises(TypeError):
                pickle.dumps(held)
        receipt = vault.audit.prove(released.entry)
        facts = casevault.verify_receipt(receipt, (place.folder / "log.key").read_text())
        assert (facts["entry"], facts["action"], facts["count"]) == (released.entry, "disclose", 3)
        lines = receipt.split("\n")
        lines[3] = ("A" if lines[3][0] != "A" else "B") + lines[3][1:]
        with pytest.raises(casevault.Integrity):
            casevault.verify_receipt("\n".join(lines), (place.folder / "log.key").read_text())
        assert vault.audit.verify()["ok"]


def test_a_table_is_counted_and_small_cells_are_none(place, people):
    import matplotlib
    import polars

    matplotlib.use("Agg")
    with place.open("analyst") as vault:
        table = vault.tabulate("person", rows="exploitation_type", columns="sex", where={"status": "identified"}, name="yearbook")
        truth = collections.Counter()
        for each in people:
            if each["status"] == "identified":
                for harm in each["exploitation_type"].split(";") or [""]:
                    truth[harm or "(not recorded)", each["sex"]] += 1
        for label, cells in zip(table.row_labels, table.cells):
            for sex, count in zip(table.column_labels, cells):
                assert count is None or (count == truth[label, sex] and (count == 0 or count >= 11))
        assert any(count is None for cells in table.cells for count in cells)
        frame = polars.DataFrame(table)
        assert frame.columns == ["exploitation_type", *table.column_labels, "total"]
        assert frame["total"].to_list()[:-1] == table.row_totals
        page = table._repr_html_()
        assert "*" in page and f"Entry {table.entry}" in page
        axes = table.plot()
        assert "hidden" in [text.get_text() for text in axes.get_legend().get_texts()]
        assert [each.kind for each in vault.ledger()] == ["table"]
        assert vault.ledger()[0].name == "yearbook"
        with pytest.raises(casevault.BadInput):
            vault.tabulate("person", rows="sex", where={"sex": ("a", "b")})
        assert "<table>" in vault.audit.entries()._repr_html_()


def test_a_release_is_k_anonymous_and_carries_what_it_is(place):
    import polars
    import pyarrow

    with place.open("analyst") as vault:
        release = vault.release("person", columns=["sex", casevault.Column("intake_date", "year"), "province_code"], era="2025", name="study")
        frame = polars.DataFrame(release)
        groups = frame.group_by(["sex", "intake_date", "province_code"]).len()
        assert groups["len"].min() == release.k >= 11
        left_out = vault.status()["records"]["person"] - len(release)
        assert len(frame) == len(release) and release.dropped == (left_out if left_out == 0 or left_out >= 11 else None)
        metadata = pyarrow.schema(release).field("sex").metadata
        assert (metadata[b"casevault.release"], metadata[b"casevault.k"]) == (b"study", str(release.k).encode())
        assert polars.DataFrame(release).equals(frame)
        assert vault.record_budget("opendp", epsilon="0.5", name="histogram") == vault.ledger()[-1].entry


def test_every_error_code_has_its_exception():
    from casevault import _errors

    header = (ROOT / "include" / "casevault" / "result.hpp").read_text()
    codes = {int(line.split("=")[1].split(",")[0]) for line in header.splitlines() if line.strip().startswith("k") and " = " in line}
    assert codes == set(_errors.BY_CODE)
    assert len(set(_errors.BY_CODE.values())) == len(codes)
    assert all(kind.code == code for code, kind in _errors.BY_CODE.items())


def test_errors_are_named_after_their_cause(place):
    with pytest.raises(casevault.WrongKey):
        casevault.open(place.vault, identity=place.folder / "owner.identity", passphrase="wrong", state_folder=place.state)
    with pytest.raises(casevault.NotFound):
        casevault.open(place.folder / "nothing", identity=place.folder / "owner.identity", passphrase=PASSPHRASE, state_folder=place.state)
    with place.open() as vault:
        with pytest.raises(casevault.NotFound):
            vault.tabulate("car", rows="sex")
        with pytest.raises(casevault.Usage):
            vault.tabulate("person", rows="sex", era="1999")
        assert vault.tabulate("person", rows="sex", era="2025").era == "2025"
        with pytest.raises(casevault.Refused):
            vault.disclose([next(vault.records("person")).id], fields=["sex"], purpose="nothing", recipient="x")
        for ids in ([3], [None], [b"x"], ["\ud800"]):
            with pytest.raises(TypeError):
                vault.disclose(ids, fields=["sex"], purpose="reception", recipient="x")
        with pytest.raises(casevault.NotFound):
            vault.disclose(["no id at all"], fields=["sex"], purpose="reception", recipient="x")
        table = coded(vault)
    with pytest.raises(casevault.Usage):
        table.__arrow_c_stream__()
    with pytest.raises(casevault.Usage):
        vault.status()


def test_progress_is_a_callback_or_a_bar_and_can_stop(place):
    import pyarrow
    import tqdm

    with place.open() as vault, tqdm.tqdm(file=io.StringIO()) as bar:
        pyarrow.table(coded(vault, progress=bar))
        assert bar.n == bar.total == vault.status()["records"]["person"]
        stopped = coded(vault, progress=lambda stage, done, total: False)
        with pytest.raises(Exception):
            pyarrow.table(stopped)
        with pytest.raises(casevault.Cancelled):
            stopped.check()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_published_shows_progress_and_can_be_stopped_before_it_is(place):
    with place.open() as vault:
        asks = [lambda progress: vault.tabulate("person", rows="sex", progress=progress),
                lambda progress: vault.release("person", columns=["sex"], name="study", progress=progress),
                lambda progress: vault.indicators("2019", "2026", names=["received_by_status"], progress=progress)]
        before = len(vault.ledger())

        def fail(*_):
            raise ZeroDivisionError

        for ask in asks:
            with pytest.raises(casevault.Cancelled):
                ask(lambda *_: False)
            with pytest.raises(ZeroDivisionError):
                ask(fail)
        assert len(vault.ledger()) == before
        stages = []
        vault.tabulate("person", rows="status", progress=lambda stage, done, total: stages.append(stage))
        assert stages[0] == "records" and stages[-1] == "entry"


def test_any_answer_of_a_progress_callback_is_true_or_false(place):
    import pyarrow

    class Odd:
        def __bool__(self):
            raise ValueError("neither")

    with place.open() as vault:
        rows = vault.status()["records"]["person"]
        for answer in (None, 1, "go on", [0], True):
            assert len(pyarrow.table(coded(vault, progress=lambda *_, answer=answer: answer))) == rows
        for answer in (0, "", [], False, Odd()):
            stopped = coded(vault, progress=lambda *_, answer=answer: answer)
            with pytest.raises(Exception):
                pyarrow.table(stopped)
            with pytest.raises(casevault.Cancelled):
                stopped.check()


def test_released_rows_are_not_read_in_a_forked_child(place):
    import pyarrow

    with place.open() as vault:
        release = vault.release("person", columns=["sex"], name="study")
        rows = pyarrow.table(release)["sex"].value_counts()
        child = os.fork()
        if child == 0:
            try:
                pyarrow.table(release)
                os._exit(1)
            except Exception as error:
                os._exit(0 if "parent" in str(error) else 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pyarrow.table(release)["sex"].value_counts() == rows


def test_dates_leave_as_years_and_only_what_the_schema_calls_sensitive_is(place):
    import pyarrow

    with place.open("analyst") as vault:
        dates = pyarrow.table(vault.release("person", columns=["intake_date"], name="years"))["intake_date"].to_pylist()
        assert dates and all(each is None or len(each) == 4 for each in dates)
        for field in ("status_date", "sex", "province_code"):
            with pytest.raises(casevault.Refused):
                vault.release("person", columns=["status", casevault.Column(field, sensitive=True)], name="x")
        harms = casevault.Column("exploitation_type", sensitive=True)
        with pytest.raises(casevault.Usage):
            vault.release("person", columns=[harms], name="x")
        assert vault.release("person", columns=["status", harms], name="harms").distinct >= 2


def test_few_people_are_refused_whatever_their_number(place, people):
    def said(where):
        with pytest.raises(casevault.Refused) as refused:
            vault.tabulate("person", rows="exploitation_type", where=where)
        return str(refused.value).split(" (log entry")[0]

    one = people[0]
    with place.open("analyst") as vault:
        someone = {name: one[name] for name in ("intake_date", "sex", "province_code", "status") if one[name]}
        nobody = {"intake_date": "1900-01-01"}
        assert said(someone) == said(nobody) == "refused: fewer than 11 records fit"
        with pytest.raises(casevault.Refused, match="below 11"):
            vault.tabulate("person", rows="sex", min_cell=2)


def test_what_is_no_condition_list_or_number_is_told_so(place):
    with place.open("analyst") as vault:
        for value in (2024, None, datetime.date(2024, 1, 1), ("2024",), (2023, 2024)):
            with pytest.raises(casevault.Usage, match="intake_date"):
                vault.tabulate("person", rows="sex", where={"intake_date": value})
        for ask in (lambda columns: vault.table("person", columns=columns, purpose="statistics"),
                    lambda columns: vault.release("person", columns=columns, name="x")):
            with pytest.raises(casevault.Usage):
                ask([])
            with pytest.raises(TypeError):
                ask([1])
        for number in (-1, 0, 2**70, 1.5, "11"):
            with pytest.raises(casevault.Usage, match="min_cell"):
                vault.tabulate("person", rows="sex", min_cell=number)
            with pytest.raises(casevault.Usage, match="k is a number"):
                vault.release("person", columns=["sex"], name="x", k=number)
        with pytest.raises(casevault.Usage):
            casevault.Column("dob", "month", bands=[18], age_on="2024-12-31")


def test_threads_work_at_a_time_and_a_forked_child_is_told(place):
    import pyarrow

    with place.open() as vault:
        before = vault.status()["log_size"]
        sizes = []
        threads = [threading.Thread(target=lambda: sizes.append(len(pyarrow.table(coded(vault))))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(sizes)) == 1 and len(sizes) == 4
        assert vault.status()["log_size"] == before + 4
        child = os.fork()
        if child == 0:
            try:
                vault.status()
                os._exit(1)
            except casevault.Usage:
                os._exit(0)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_disclosure_gives_nothing_after_its_vault_is_closed_and_each_record_to_one_thread(place, people):
    with place.open() as vault:
        ids = [record.id for record in vault.records("person")]
        shared = vault.disclose(ids, fields=["full_name"], purpose="reception", recipient="x")
        taken = [[] for _ in range(4)]
        threads = [threading.Thread(target=lambda mine=mine: mine.extend((row.id, row["full_name"].reveal()) for row in shared)) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(sum(taken, [])) == sorted(zip(ids, (each["full_name"] for each in people), strict=True))
        assert next(shared, None) is None
        left = vault.disclose(ids, fields=["full_name"], purpose="reception", recipient="x")
        row = next(left)
        changed = vault.disclose(ids, fields=["full_name"], purpose="reception", recipient="x")
    with pytest.raises(casevault.Usage):
        next(left)
    with pytest.raises(casevault.Usage):
        next(changed)
    assert row["full_name"].reveal() == people[0]["full_name"]
    del vault, changed
    with pytest.raises(casevault.Usage):
        next(left)


def test_a_record_that_changed_since_the_entry_ends_the_disclosure_after_those_before_it(place):
    long = "dài " * 20000
    with place.open() as vault:
        ids = [vault.add("person", {"full_name": long, "sex": "female"}).id for _ in range(40)]
        released = vault.disclose(ids, fields=["full_name"], purpose="reception", recipient="x")
        vault.update(ids[-1], {"full_name": "khác"})
        seen = []
        with pytest.raises(casevault.Conflict):
            for row in released:
                seen.append(row.id)
                assert row["full_name"].reveal() == long and len(row["full_name"]) == len(long.encode())
        assert seen == ids[:len(seen)] and 0 < len(seen) < len(ids)
        with pytest.raises(casevault.Conflict):
            next(released)


def test_writing_and_keys(place):
    with place.open() as vault:
        id, version, entry = vault.add("person", {"full_name": "Một Hai", "sex": "female"})
        assert vault.update(id, {"sex": "male"}, expect_version=version)[1] == 2
        with pytest.raises(casevault.Conflict):
            vault.update(id, {"sex": "male"}, expect_version=1)
        with pytest.raises(casevault.BadInput):
            vault.add("person", {"full_name": "x", "sex": "no such code"})
        assert vault.keys.rotate("statistics")[:2] == (1, 2)
        done = vault.reencrypt("statistics", progress=lambda *_: None)
        assert done["finished"]
        assert {key["state"] for key in vault.keys if key["compartment"] == "statistics"} == {"old", "current"}
        assert vault.keys.destroy("statistics", 1) > entry


def test_indicators_of_the_schema_are_published_or_say_why_not(place):
    with place.open() as vault:
        some = vault.indicators("2019", "2026", names=["received_by_status"])
        assert [each.name for each in some] == ["received_by_status"]
        assert some[0].titles["en"] and (some[0].table is None) == (some[0].refused is not None)
        with pytest.raises(casevault.NotFound):
            vault.indicators("2019", "2026", names=["no such"])
        with pytest.raises(casevault.Usage):
            vault.indicators("May", "2026")


def test_doctests():
    ran = [doctest.testmod(module) for module in (casevault, casevault._vault)]
    assert not any(each.failed for each in ran) and sum(each.attempted for each in ran) > 5


def test_stubs_are_checked_by_mypy(tmp_path):
    script = tmp_path / "user.py"
    script.write_text(
        "import casevault\n"
        "def work(vault: casevault.Vault) -> int:\n"
        "    table = vault.table('person', columns=['sex'], purpose='statistics')\n"
        "    counts = vault.tabulate('person', rows='sex', where={'intake_date': ('2023', '2024')})\n"
        "    counts.plot().figure.savefig('x')\n"
        "    found = vault.find('person', {'full_name': 'x'}, purpose='reception')\n"
        "    both = vault.find('person', [{'full_name': 'x'}, {'full_name': 'y'}], purpose='reception')\n"
        "    ids: list[str] = found.ids + [hit.id for each in both for hit in each]\n"
        "    for row in vault.disclose(ids, fields=['full_name'], purpose='reception', recipient='x'):\n"
        "        secret = row['full_name']\n"
        "        text: str = '' if secret is None else secret.reveal()\n"
        "    pair = vault.duplicates('person', purpose='reception')[0]\n"
        "    entry, person = vault.merge(pair.a, pair.b, reason='x')\n"
        "    total: int | None = counts.total\n"
        "    return (table.rows or 0) + (total or 0)\n")
    for checked in ([str(script)], ["-p", "casevault"]):
        done = subprocess.run([sys.executable, "-m", "mypy", "--strict", *checked], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout
    script.write_text("import casevault\ndef work(vault: casevault.Vault) -> None:\n    vault.tabulate('person', rows=3)\n")
    assert subprocess.run([sys.executable, "-m", "mypy", "--strict", str(script)], capture_output=True, cwd=tmp_path, check=False).returncode == 1


def test_what_the_readme_says_to_an_analyst_runs(place, tmp_path, monkeypatch):
    import matplotlib

    matplotlib.use("Agg")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 2
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(place.folder)
    shutil.copy("owner.identity", "linh.identity")
    names = {"passphrase": PASSPHRASE}
    exec("".join(blocks), names)
    matplotlib.pyplot.close("all")
    assert names["found"].entry and names["pair"].because and len(names["frame"]) == 2000


def run(*words):
    """A process of Python; what nanobind says of leaks at its end is a failure."""
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=600, check=False)
    assert "nanobind" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("example,who", [("annual_report.py", "analyst"), ("rows_handed_on.py", "analyst"), ("duplicate_review.py", "owner")])
def test_examples_run_and_nothing_leaks(place, tmp_path, example, who):
    (tmp_path / "pass").write_text(PASSPHRASE)
    done = run(ROOT / "examples" / "python" / example, "--vault", place.vault, "--identity", place.folder / f"{who}.identity",
               "--passphrase-file", tmp_path / "pass", "--state", place.state, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "out").iterdir())


def test_an_interpreter_that_ends_with_everything_open_leaks_nothing(place):
    script = ("import sys, casevault\n"
              "vault = casevault.open(sys.argv[1], identity=sys.argv[2], passphrase=sys.argv[3], state_folder=sys.argv[4])\n"
              "table = vault.table('person', columns=['sex'], purpose='statistics', progress=lambda *a: None)\n"
              "capsule = table.__arrow_c_stream__()\n"
              "row = next(vault.disclose([next(vault.records('person')).id], fields=['full_name'], purpose='reception', recipient='x'))\n")
    done = run("-c", script, place.vault, place.folder / "owner.identity", PASSPHRASE, place.state)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_numpy_is_not_required():
    done = run("-c", "import sys; sys.modules['numpy'] = None; import casevault; print(casevault.__version__)")
    assert done.returncode == 0, done.stderr

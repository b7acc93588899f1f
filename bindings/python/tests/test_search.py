# SPDX-License-Identifier: Apache-2.0
"""Finding people, likely duplicates, merges."""

import unicodedata

import pytest

import casevault
from conftest import CHEAP, PASSPHRASE


def bare(name):
    """As somebody without a Vietnamese keyboard types it."""
    return "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c)).replace("đ", "d").replace("Đ", "D").lower()


def test_people_are_found_however_they_were_typed_under_one_entry(place, people):
    with place.open() as vault:
        ids = [record.id for record in vault.records("person")]
        name = people[7]["full_name"]
        before = vault.status()["log_size"]
        found = vault.find("person", {"full_name": name}, purpose="reception")
        assert ids[7] in found.ids and found.count >= len(found) >= 1
        assert [hit.id for hit in found] == found.ids == [hit.id for hit in found.matches]
        assert {hit.match for hit in found if hit.id == ids[7]} == {"exact"}
        entry = vault.audit.entries(before)[0]
        assert (entry["entry"], entry["action"], entry["outcome"], entry["purpose"]) == (found.entry, "find", "ok", "reception")
        folded = vault.find("person", {"full_name": bare(name)}, purpose="reception")
        assert ids[7] in folded.ids
        turned = " ".join(reversed(bare(name).split()))
        loose = vault.find("person", {"full_name": turned}, purpose="reception", loose=True)
        assert ids[7] in loose.ids and loose[loose.ids.index(ids[7])].match in ("order_free", "folded", "exact")
        for shown in (found, found[0], loose):
            assert name not in repr(shown) and bare(name) not in repr(shown)
        with pytest.raises(IndexError):
            found[len(found)]


def test_searches_of_one_call_share_their_entry_and_a_miss_is_in_the_log_too(place, people):
    with place.open() as vault:
        ids = [record.id for record in vault.records("person", limit=20)]
        before = vault.status()["log_size"]
        answers = vault.find("person", [{"full_name": each["full_name"]} for each in people[:20]], purpose="reception")
        assert vault.status()["log_size"] == before + 1
        assert all(id in answer.ids for id, answer in zip(ids, answers, strict=True))
        assert {answer.entry for answer in answers} == {before}
        missed = vault.find("person", {"full_name": "Không Có Ai Tên Này"}, purpose="reception")
        assert (len(missed), missed.count, list(missed), missed.entry) == (0, 0, [], before + 1)
        assert vault.audit.entries(missed.entry)[0]["action"] == "find"


def test_the_limit_cuts_what_is_returned_not_what_is_counted(place, people):
    with place.open() as vault:
        year = people[0]["dob"][:4]
        all_of_it = vault.find("person", {"dob": year}, purpose="reception", limit=2000)
        cut = vault.find("person", {"dob": year}, purpose="reception", limit=3)
        assert len(cut) == 3 and cut.count == all_of_it.count == len(all_of_it) > 3
        assert len(all_of_it) == sum(each["dob"].startswith(year) for each in people)


def test_who_may_not_read_names_finds_nobody_and_the_attempt_is_logged(place, people):
    with place.open("analyst") as vault:
        before = vault.status()["log_size"]
        for act in (lambda: vault.find("person", {"full_name": people[0]["full_name"]}, purpose="reception"),
                    lambda: vault.duplicates("person", purpose="reception")):
            with pytest.raises((casevault.Refused, casevault.NoGrant)):
                act()
        a, b = (record.id for record in vault.records("person", limit=2))
        with pytest.raises((casevault.Refused, casevault.NoGrant)):
            vault.merge(a, b, reason="no right to")
        assert [each["outcome"] for each in vault.audit.entries(before)] == ["denied"] * 3


def test_a_search_is_no_way_around_the_types(place):
    with place.open() as vault:
        for wrong in ({"full_name": 3}, [{"full_name": None}], {"full_name": b"x"}, 3):
            with pytest.raises((TypeError, AttributeError)):
                vault.find("person", wrong, purpose="reception")
        with pytest.raises(casevault.NotFound):
            vault.find("person", {"no_such_field": "x"}, purpose="reception")
        with pytest.raises(casevault.Error):
            vault.find("person", [], purpose="reception")
        with pytest.raises(casevault.Error):
            vault.find("person", {}, purpose="reception")


def test_likely_duplicates_come_scored_and_explained_without_values(place, people):
    names = {each["full_name"] for each in people}
    with place.open() as vault:
        pairs = vault.duplicates("person", purpose="reception", min_score=0.6, progress=lambda *_: None)
        assert pairs and pairs.found == len(pairs) and pairs.records == len(people) and not pairs.unheard
        scores = [pair.score for pair in pairs]
        assert scores == sorted(scores, reverse=True) and 0.6 <= scores[-1] and scores[0] <= 1
        assert all(pair.because and pair.a != pair.b for pair in pairs)
        told = repr(pairs) + repr(pairs[0]) + pairs._repr_html_() + str([(pair.because, pair.against) for pair in pairs])
        assert not any(name in told for name in names)
        assert vault.audit.entries(pairs.entry)[0]["action"] == "duplicates"

        taken = []
        streamed = vault.duplicates("person", purpose="reception", min_score=0.6, found=lambda pair: taken.append(pair) or len(taken) < 3)
        assert len(streamed) == 0 and streamed.found == 3
        assert {(pair.a, pair.b) for pair in taken} <= {(pair.a, pair.b) for pair in pairs}


def test_what_a_callback_raises_comes_through_and_stops_the_work(place):
    class Mine(Exception):
        pass

    def fail(*_):
        raise Mine

    with place.open() as vault:
        with pytest.raises(Mine):
            vault.duplicates("person", purpose="reception", found=fail)
        with pytest.raises(Mine):
            vault.audit.verify(progress=fail)
        with pytest.raises(casevault.Cancelled):
            vault.audit.verify(progress=lambda *_: False)
        vault.keys.rotate("statistics")
        with pytest.raises(Mine):
            vault.reencrypt(progress=fail)
        with pytest.raises(Mine):
            vault.import_rows("person", [{"full_name": "Một Hai"}], progress=fail)
        assert vault.reencrypt()["finished"]


def test_a_merge_is_said_and_taken_back_and_both_records_stay(place):
    with place.open() as vault:
        a, b, c = (record.id for record in vault.records("person", limit=3))
        entry, person = vault.merge(a, b, reason="the same mother, the same village")
        assert person == vault.same_person(a) == vault.same_person(b) == [a, b]
        assert vault.audit.entries(entry)[0]["action"] == "merge"
        assert vault.merge(c, b, reason="came back")[1] == [a, b, c]
        with pytest.raises(casevault.Conflict):
            vault.merge(a, b, reason="again")
        [name] = [row["full_name"].reveal() for row in vault.disclose([a], fields=["full_name"], purpose="reception", recipient="desk")]
        [hit] = [hit for hit in vault.find("person", {"full_name": name}, purpose="reception") if hit.id == a]
        assert hit.same_person == [b, c]
        assert vault.merge(a, b, reason="two people after all", undo=True)[1] == [a]
        assert vault.same_person(a) == [a] and vault.same_person(b) == [b, c]
        with pytest.raises(casevault.Conflict):
            vault.merge(a, b, reason="once more", undo=True)
        assert len(list(vault.records("person"))) == vault.status()["records"]["person"]


def test_a_type_that_wants_a_search_first_takes_its_entry(tmp_path):
    schema = str(casevault.Schema.bundled()).replace('name = "person"', 'name = "person"\nsearch_before_add = true', 1)
    assert casevault.Schema.parse(schema).search_before_add("person")
    tmp_path.chmod(0o700)
    casevault.init(tmp_path / "v", identity=tmp_path / "o", passphrase=PASSPHRASE, schema=schema, state_folder=tmp_path / "s", memory_mib=CHEAP)
    with casevault.open(tmp_path / "v", identity=tmp_path / "o", passphrase=PASSPHRASE, state_folder=tmp_path / "s") as vault:
        values = {"full_name": "Nguyễn Thị Hoa", "sex": "female", "dob": "2001-02-03"}
        with pytest.raises(casevault.Refused):
            vault.add("person", values)
        found = vault.find("person", {"full_name": values["full_name"]}, purpose="reception")
        first = vault.add("person", values, searched=found.entry)
        assert not first.warnings and first == (first.id, 1, first.entry)
        again = vault.find("person", {"full_name": values["full_name"]}, purpose="reception")
        assert again.ids == [first.id]
        second = vault.add("person", values, searched=again.entry)
        assert any(first.id in line for line in second.warnings)
        assert values["full_name"] not in str(second.warnings)

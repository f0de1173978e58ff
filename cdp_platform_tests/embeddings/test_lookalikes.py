"""Lookalike audiences, on vectors whose neighbours are known."""

import numpy as np
import psycopg
import pytest

from cdp_platform.embeddings.lookalikes import find_lookalikes, refresh_audiences, segments_of
from cdp_platform_tests.embeddings.people import People, around, axis

STORED = "SELECT profile_id, segment_id, similarity, place FROM embeddings.lookalike_audience"
VERSIONS = "SELECT profile_id || segment_id, xmin::text || ctid::text FROM embeddings.lookalike_audience"


@pytest.fixture
def people(app: psycopg.Connection) -> People:
    return People(app)


def audience(people: People) -> list[str]:
    rows = people.rows(STORED)
    assert sorted(place for _, _, place in rows.values()) == list(range(1, len(rows) + 1))
    return sorted(rows, key=lambda profile_id: rows[profile_id][2])


def test_the_most_alike_come_first_and_no_member_is_among_them(people: People):
    members = people.join("m", around(axis(0), 30), segment="s")
    near = people.join("near", around(axis(0), 10, spread=0.1, seed=1))
    people.join("far", around(axis(1), 20, seed=2))
    found = find_lookalikes(people.connection, "acme", people.model, "s", size=100)
    assert (found.members, found.centroids, found.size, found.written) == (30, 1, 10, 10)
    assert set(audience(people)) == set(near)
    assert not set(members) & set(audience(people))
    similarities = [people.rows(STORED)[profile_id][1] for profile_id in audience(people)]
    assert similarities == sorted(similarities, reverse=True)


def test_a_segment_of_two_kinds_finds_the_neighbours_of_both(people: People):
    people.join("m", around(axis(0), 30), segment="s")
    people.join("n", around(axis(1), 30, seed=1), segment="s")
    first = people.join("a", around(axis(0), 10, seed=2))
    second = people.join("b", around(axis(1), 10, seed=3))
    # Near to the mean of all members, nearer than the neighbours of either kind, but like no member.
    decoys = people.join("z", around(axis(0) + axis(1), 40, spread=0.1, seed=4))
    found = find_lookalikes(people.connection, "acme", people.model, "s", size=20, floor=0.0)
    assert found.centroids == 2
    assert set(audience(people)) == {*first, *second}

    vectors = people.rows("SELECT entity_id, vector::float4[] FROM embeddings.embedding")
    mean = np.mean([vectors[profile_id][0] for profile_id in vectors if profile_id[0] in "mn"], axis=0)
    others = [*first, *second, *decoys]
    by_mean = sorted(others, key=lambda profile_id: -float(np.dot(vectors[profile_id][0], mean)))
    assert set(by_mean[:20]) <= set(decoys)


def test_nobody_below_the_floor_is_taken_and_the_floor_is_said(people: People):
    people.join("m", around(axis(0), 40), segment="s")
    people.join("half", around(axis(0) + axis(1), 10, spread=0.1, seed=1))
    near = people.join("near", around(axis(0), 5, spread=0.1, seed=2))
    found = find_lookalikes(people.connection, "acme", people.model, "s", size=100)
    # Between the members and all others; 0.71, which half of all have, is far below.
    assert found.floor is not None
    assert 0.85 < found.floor < 1
    assert set(audience(people)) == set(near)
    assert found.note is not None
    assert f"5 of 100: no other profile has a similarity of {found.floor:.2f}" in found.note

    lower = find_lookalikes(people.connection, "acme", people.model, "s", size=100, floor=0.6)
    assert (lower.floor, lower.size, lower.written) == (0.6, 15, 10)
    assert min(similarity for _, similarity, _ in people.rows(STORED).values()) >= 0.6


def test_the_floor_is_never_lower_than_what_strangers_have(people: People):
    people.join("m", around(axis(0), 40, spread=100), segment="s")
    assert find_lookalikes(people.connection, "acme", people.model, "s", size=5).floor == 0.3


def test_no_more_than_asked_for_are_taken(people: People):
    people.join("m", around(axis(0), 30), segment="s")
    people.join("near", around(axis(0), 10, spread=0.1, seed=1))
    found = find_lookalikes(people.connection, "acme", people.model, "s", size=3)
    assert (found.size, found.note) == (3, None)
    three = audience(people)
    find_lookalikes(people.connection, "acme", people.model, "s", size=10)
    assert audience(people)[:3] == three
    find_lookalikes(people.connection, "acme", people.model, "s", size=3)
    assert audience(people) == three


def test_another_tenants_people_never_come(people: People):
    people.join("m", around(axis(0), 30), segment="s")
    people.join("twin", around(axis(0), 30), tenant_id="other")
    found = find_lookalikes(people.connection, "acme", people.model, "s", size=100)
    assert found.size == 0
    assert people.rows(STORED) == people.rows(STORED, "other") == {}


def test_a_closed_profile_is_neither_seed_nor_audience(people: People):
    people.join("m", around(axis(0), 30), segment="s")
    people.join("near", around(axis(0), 4, spread=0.1, seed=1))
    find_lookalikes(people.connection, "acme", people.model, "s", size=100)
    people.change(
        "UPDATE customers.cdp_profiles SET living_location = 'Hue' WHERE profile_id IN ('m0000', 'near0000');"
        "UPDATE customers.cdp_profiles SET closed_at = now(), closed_reason = 'deleted'"
        " WHERE profile_id IN ('m0000', 'near0000')"
    )
    found = find_lookalikes(people.connection, "acme", people.model, "s", size=100)
    assert (found.members, found.written) == (29, 3)
    assert set(audience(people)) == {"near0001", "near0002", "near0003"}


def test_a_forgotten_profile_is_in_no_audience(people: People):
    people.join("m", around(axis(0), 30), segment="s")
    people.join("near", around(axis(0), 4, spread=0.1, seed=1))
    find_lookalikes(people.connection, "acme", people.model, "s", size=100)
    people.forget("near0002")
    assert set(people.rows(STORED)) == {"near0000", "near0001", "near0003"}
    find_lookalikes(people.connection, "acme", people.model, "s", size=100)
    assert set(audience(people)) == {"near0000", "near0001", "near0003"}


def test_an_erased_person_gets_into_no_audience(people: People):
    people.join("m", around(axis(0), 30), segment="s")
    people.join("near", around(axis(0), 4, spread=0.1, seed=1))
    people.change("INSERT INTO ops.erased_document VALUES ('acme', 'cdp_profile', 'near0001')")
    find_lookalikes(people.connection, "acme", people.model, "s", size=100)
    assert set(people.rows(STORED)) == {"near0000", "near0002", "near0003"}


def test_an_audience_that_stays_is_not_written_again(people: People):
    people.join("m", around(axis(0), 30), segment="s")
    people.join("n", around(axis(1), 30), segment="s")
    people.join("near", around(axis(0) + 0.2 * axis(1), 50, seed=1))
    assert find_lookalikes(people.connection, "acme", people.model, "s", size=20, floor=0.5).written == 20
    before = people.rows(VERSIONS)
    assert find_lookalikes(people.connection, "acme", people.model, "s", size=20, floor=0.5).written == 0
    assert people.rows(VERSIONS) == before


def test_a_segment_that_cannot_be_a_seed_gets_a_note_and_no_audience(people: People):
    people.join("m", around(axis(0), 4), segment="small")
    people.join("v", [None] * 6, segment="unembedded")
    people.join("near", around(axis(0), 10, seed=1))

    def found(segment_id: str) -> tuple[int, str]:
        result = find_lookalikes(people.connection, "acme", people.model, segment_id, size=100)
        assert (result.size, result.floor, result.written) == (0, None, 0)
        assert result.note is not None
        return result.members, result.note

    assert found("unknown") == (0, "No profile is in segment unknown. Is the id right?")
    assert found("unembedded") == (0, "None of the 6 profiles in the segment has a vector of the active model yet.")
    members, note = found("small")
    assert members == 4
    assert "4 profiles with a vector are too few" in note
    assert people.rows(STORED) == {}


def test_segments_that_can_be_seeds_have_five_people_and_at_most_half_of_all(people: People):
    people.join("a", [None] * 5, segment="five")
    people.join("b", [None] * 4, segment="four")
    people.join("c", [None] * 15, segment="half")
    people.join("d", [None] * 6)
    people.join("e", [None] * 40, segment="elsewhere", tenant_id="other")
    assert segments_of(people.connection, "acme") == {"five": 5, "half": 15}
    people.change("DELETE FROM customers.cdp_profiles WHERE profile_id = 'd0000'")
    assert segments_of(people.connection, "acme") == {"five": 5}
    people.change(
        "UPDATE customers.cdp_profiles SET closed_at = now(), closed_reason = 'deleted' WHERE profile_id = 'a0000'"
    )
    assert segments_of(people.connection, "acme") == {}


def test_a_refresh_finds_every_audience_and_drops_those_without_a_seed(people: People):
    people.join("m", around(axis(0), 20), segment="s")
    people.join("n", around(axis(1), 20, seed=1), segment="t")
    people.join("near", around(axis(0), 10, spread=0.1, seed=2))
    people.join("close", around(axis(1), 10, spread=0.1, seed=3))
    people.change(
        "INSERT INTO embeddings.lookalike_audience (tenant_id, segment_id, profile_id, similarity, place)"
        " VALUES ('acme', 'dissolved', 'near0000', 1, 1)"
    )
    found = refresh_audiences(people.connection, "acme", people.model, size=100)
    assert [(each.segment_id, each.size) for each in found] == [("s", 10), ("t", 10)]
    assert {(profile_id[:4], row[0]) for profile_id, row in people.rows(STORED).items()} == {
        ("near", "s"),
        ("clos", "t"),
    }
    before = people.rows(VERSIONS)
    assert [each.written for each in refresh_audiences(people.connection, "acme", people.model, size=100)] == [0, 0]
    assert people.rows(VERSIONS) == before

"""What clusters of profiles promise, on vectors whose groups are known."""

import subprocess
import sys
from collections import Counter

import numpy as np
import psycopg
import pytest

from cdp_platform.embeddings.clusters import cluster_profiles
from cdp_platform_tests.embeddings.people import People, around, axis

STORED = "SELECT profile_id, cluster FROM embeddings.profile_cluster"
VERSIONS = "SELECT profile_id, xmin::text || ctid::text FROM embeddings.profile_cluster"


@pytest.fixture
def people(app: psycopg.Connection) -> People:
    return People(app)


def cluster_of(people: People) -> dict[str, int]:
    return {profile_id: cluster for profile_id, (cluster,) in people.rows(STORED).items()}


def test_planted_groups_are_found_and_numbered_by_size(people: People):
    for number, (name, count) in enumerate([("a", 40), ("b", 120), ("c", 80), ("d", 60)]):
        people.join(name, around(axis(number), count, seed=number))
    found = cluster_profiles(people.connection, "acme", people.model)
    assert found.sizes == {1: 120, 2: 80, 3: 60, 4: 40}
    assert max(found.silhouettes, key=lambda number: found.silhouettes[number]) == 4
    assert found.written == 300
    assert Counter((profile_id[0], number) for profile_id, number in cluster_of(people).items()) == {
        ("b", 1): 120,
        ("c", 2): 80,
        ("d", 3): 60,
        ("a", 4): 40,
    }
    assert "4 clusters" in found.note


def test_what_has_no_groups_is_one_cluster_and_says_so(people: People):
    people.join("x", around(axis(0), 400, spread=100))
    found = cluster_profiles(people.connection, "acme", people.model)
    assert found.sizes == {1: 400}
    assert len(found.silhouettes) == 11
    assert max(found.silhouettes.values()) < 0.15
    assert "One cluster" in found.note


def test_few_profiles_are_one_cluster_however_far_apart(people: People):
    people.join("a", around(axis(0), 10))
    people.join("b", around(axis(1), 9))
    found = cluster_profiles(people.connection, "acme", people.model)
    assert found.sizes == {1: 19}
    assert "19 profiles are too few" in found.note


def test_profiles_that_are_all_the_same_are_one_cluster(people: People):
    people.join("a", np.tile(axis(0), (50, 1)))
    found = cluster_profiles(people.connection, "acme", people.model)
    assert found.sizes == {1: 50}
    assert "all alike" in found.note


def test_a_few_outliers_are_no_cluster(people: People):
    people.join("a", around(axis(0), 60))
    people.join("b", around(axis(1), 50))
    people.join("z", around(axis(2), 3, spread=0.01))
    found = cluster_profiles(people.connection, "acme", people.model)
    assert len(found.sizes) == 2
    assert sum(found.sizes.values()) == 113


def test_nobody_with_a_vector_is_no_cluster(people: People):
    found = cluster_profiles(people.connection, "acme", people.model)
    assert (found.sizes, found.terms, found.written, found.picture) == ({}, {}, 0, None)
    assert "never get vectors" in found.note
    people.join("v", [None] * 3, segment="regulars")
    assert (
        "No profile has a vector of the active model yet"
        in cluster_profiles(people.connection, "acme", people.model).note
    )


def test_the_same_vectors_give_the_same_clusters_and_nothing_is_written(people: People):
    # Groups that overlap: the cluster of a profile depends on every digit.
    for number in range(5):
        people.join("abcde"[number], around(axis(number), 60, spread=1.2, seed=number))
    first = cluster_profiles(people.connection, "acme", people.model)
    before, versions = cluster_of(people), people.rows(VERSIONS)
    again = cluster_profiles(people.connection, "acme", people.model)
    assert len(first.sizes) > 1
    assert again.written == 0
    assert (cluster_of(people), people.rows(VERSIONS)) == (before, versions)
    assert (again.silhouettes, again.terms, again.picture) == (first.silhouettes, first.terms, first.picture)


def test_only_what_changed_is_written(people: People):
    people.join("a", around(axis(0), 60))
    people.join("b", around(axis(1), 40))
    cluster_profiles(people.connection, "acme", people.model)
    versions = people.rows(VERSIONS)
    people.forget("b0000")
    people.join("new", around(axis(1), 1))
    found = cluster_profiles(people.connection, "acme", people.model)
    assert found.written == 1
    assert found.sizes == {1: 60, 2: 40}
    after = people.rows(VERSIONS)
    assert set(after) - set(versions) == {"new0000"}
    assert all(after[profile_id] == versions[profile_id] for profile_id in set(after) & set(versions))


def test_a_forgotten_profile_is_in_no_cluster(people: People):
    ids = people.join("a", around(axis(0), 30))
    cluster_profiles(people.connection, "acme", people.model)
    people.forget(ids[0])
    assert ids[0] not in cluster_of(people)
    cluster_profiles(people.connection, "acme", people.model)
    assert set(cluster_of(people)) == set(ids[1:])


def test_a_row_whose_vector_is_gone_goes(people: People):
    ids = people.join("a", around(axis(0), 30))
    cluster_profiles(people.connection, "acme", people.model)
    people.change("DELETE FROM embeddings.embedding WHERE entity_id < 'a0010'")
    assert cluster_profiles(people.connection, "acme", people.model).written == 10
    assert set(cluster_of(people)) == set(ids[10:])


def test_an_erased_person_gets_into_no_cluster(people: People):
    ids = people.join("a", around(axis(0), 30))
    people.change("INSERT INTO ops.erased_document VALUES ('acme', 'cdp_profile', 'a0003')")
    cluster_profiles(people.connection, "acme", people.model)
    assert set(cluster_of(people)) == set(ids) - {"a0003"}


def test_another_tenants_profiles_are_left_alone(people: People):
    people.join("a", around(axis(0), 40))
    people.join("o", around(axis(1), 40), tenant_id="other")
    cluster_profiles(people.connection, "other", people.model)
    before = people.rows(VERSIONS, "other")
    found = cluster_profiles(people.connection, "acme", people.model)
    assert found.sizes == {1: 40}
    assert len(before) == 40
    assert people.rows(VERSIONS, "other") == before


def test_vectors_of_another_model_are_not_taken(people: People):
    people.join("a", around(axis(0), 40))
    people.change(
        "INSERT INTO embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)"
        " VALUES ('acme', 'profile', 'stray', 99, '[1,2]', ''), ('acme', 'transaction', 'line', 1, '[1,2]', '')"
    )
    assert cluster_profiles(people.connection, "acme", people.model).sizes == {1: 40}


def test_terms_are_those_that_set_a_cluster_apart(people: People):
    # All have travel in common; a street belongs to one person, and a number that two share may be that of a family.
    people.join("a", around(axis(0), 60), content="{number} Main Street; Chef; travel, cooking; coffee,coffee")
    people.join("b", around(axis(1), 40), content="{number} Main Street; Nurse; travel, fitness")
    people.join("c", around(axis(1), 2, spread=0.1), content="Nurse; secret")
    found = cluster_profiles(people.connection, "acme", people.model)
    assert found.sizes == {1: 60, 2: 42}
    # All of cluster 1 have travel, and nearly all of cluster 2: it is the last term of 1, and no term of 2.
    assert found.terms == {1: ["Chef", "coffee", "cooking", "travel"], 2: ["Nurse", "fitness"]}


def test_terms_of_the_only_cluster_are_the_most_frequent(people: People):
    people.join("a", around(axis(0), 15), content="travel, cooking")
    people.join("b", around(axis(0), 4), content="travel")
    assert cluster_profiles(people.connection, "acme", people.model).terms == {1: ["travel", "cooking"]}


def test_the_picture_is_a_small_png(people: People):
    for number in range(3):
        people.join("abc"[number], around(axis(number), 200, seed=number))
    picture = cluster_profiles(people.connection, "acme", people.model).picture
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 60_000


def test_importing_the_module_imports_nothing_heavy():
    program = (
        "import sys, cdp_platform.embeddings.clusters, cdp_platform.embeddings.lookalikes;"
        "print([name for name in ('sklearn', 'matplotlib', 'scipy', 'dagster') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

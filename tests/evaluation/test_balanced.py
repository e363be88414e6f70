"""Balanced sets: the composition, the originals, the seed, and what happens when data are short."""

import random
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from checks import fails

from nacd_bench.errors import DataError
from nacd_bench.evaluation.balanced import (
    BalancedSet,
    balanced_set,
    balanced_sets,
    negative_quotas,
    set_of,
)
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.record import (
    ARTIFACT_TYPES,
    PLANTED,
    Label,
    TripletRecord,
    cluster_names,
    labelled_boxes,
    presence,
)


def triplet(name: str, kind: str, source: str | None = None) -> TripletRecord:
    """A triplet with an artifact of a type (or two: ``"color+text"``), ``"free"`` or ``""``."""
    labels = tuple(
        Label(each, confirmed=True) for each in kind.split("+") if each in ARTIFACT_TYPES
    )
    paths = (f"/data/{source or name}.png", f"/data/{name}_n.png", f"/data/{name}_t.png")
    free = True if kind == "free" else None
    return TripletRecord(name, *paths, source=source, labels=labels, artifact_free=free)


def many(originals: int = 100, copies: int = 1) -> list[TripletRecord]:
    """For each of four kinds as many triplets, and some that nobody labelled."""
    kinds = (*ARTIFACT_TYPES, "free", "")
    return [
        triplet(f"{kind or 'unknown'}{i:03}-{j}", kind, f"{kind}{i:03}")
        for kind in kinds
        for i in range(originals)
        for j in range(copies)
    ]


def few_originals() -> list[TripletRecord]:
    """24 originals at five rates, with all kinds of each: what a photo set gives."""
    rng = random.Random(0)
    kinds = [*ARTIFACT_TYPES, "free"]
    return [
        triplet(f"kodim{i:02}@{rate}", rng.choice(kinds), f"kodim{i:02}")
        for i in range(24)
        for rate in range(8)
    ]


def counts(drawn: BalancedSet) -> dict[str, int]:
    """How many triplets were drawn as each type and as free."""
    return dict(Counter(str(record.extra["drawn_as"]) for record in drawn.records))


def sides_by_original(drawn: BalancedSet) -> dict[str, set[bool]]:
    sides = defaultdict(set)
    for original, side in zip(drawn.clusters, drawn.truth, strict=True):
        sides[original].add(side)
    return sides


class TestComposition:
    @pytest.mark.parametrize("artifact_type", ARTIFACT_TYPES)
    def test_the_paper_s(self, artifact_type: str) -> None:
        drawn = balanced_set(many(), artifact_type)
        others = [each for each in ARTIFACT_TYPES if each != artifact_type]
        assert counts(drawn) == {artifact_type: 50, "free": 16, others[0]: 17, others[1]: 17}
        assert drawn.truth == [True] * 50 + [False] * 50
        for record, is_positive in zip(drawn.records, drawn.truth, strict=True):
            assert presence(record, artifact_type) is is_positive

    @pytest.mark.parametrize("n", range(1, 60))
    def test_other_sizes_have_equal_parts(self, n: int) -> None:
        free, each = negative_quotas(n)
        assert free + 2 * each == n and abs(free - n / 3) <= 1

    def test_an_image_with_two_types_is_no_negative_of_either(self) -> None:
        records = [*many(20), *(triplet(f"both{i}", "color+text") for i in range(50))]
        drawn = balanced_set(records, "color", n=20)
        assert not any(
            record.id.startswith("both")
            for record, side in zip(drawn.records, drawn.truth, strict=True)
            if not side
        )

    def test_an_original_appears_once(self) -> None:
        sets, _ = balanced_sets(many(60, copies=3), n=50)
        assert {*sets} == {*ARTIFACT_TYPES}
        for drawn in sets.values():
            assert set(Counter(drawn.clusters).values()) == {1}
            assert drawn.notes == ()

    def test_originals_are_shared_out_so_that_all_fit(self) -> None:
        """Each original has a positive; only these ten have something else."""
        records = [triplet(f"p{i}", "texture", f"s{i}") for i in range(20)]
        kinds = ["free"] * 4 + ["color"] * 3 + ["text"] * 3
        records += [triplet(f"q{i}", kind, f"s{i}") for i, kind in enumerate(kinds)]
        for seed in range(5):
            drawn = balanced_set(records, "texture", n=10, seed=seed)
            assert set(Counter(drawn.clusters).values()) == {1}


class TestDraw:
    def test_follows_the_seed(self) -> None:
        assert balanced_set(many(), "text") == balanced_set(many(), "text")
        assert balanced_set(many(), "text") != balanced_set(many(), "text", seed=1)

    @pytest.mark.parametrize("make", [many, few_originals])
    def test_does_not_follow_the_order_of_rows(self, make) -> None:  # type: ignore[no-untyped-def]
        shuffled = make()
        random.Random(1).shuffle(shuffled)
        assert balanced_set(shuffled, "color", 30) == balanced_set(make(), "color", 30)

    def test_everything_has_its_chance(self) -> None:
        drawn = Counter(
            record.id
            for seed in range(60)
            for record in balanced_set(many(20), "text", 10, seed).records
            if record.extra["side"] == "positive"
        )
        assert len(drawn) == 20 and min(drawn.values()) > 15 and max(drawn.values()) < 45


class TestRepeats:
    @pytest.mark.parametrize("seed", range(5))
    def test_copies_lie_on_one_side_and_are_said(self, seed: int) -> None:
        drawn = balanced_set(few_originals(), "texture", n=20, seed=seed)
        assert counts(drawn)["texture"] == 20 and len(drawn.records) == 40
        assert all(len(sides) == 1 for sides in sides_by_original(drawn).values())
        assert len({record.id for record in drawn.records}) == 40
        (note,) = drawn.notes
        assert "24 originals for 40 places" in note and "one cluster of the bootstrap" in note

    @pytest.mark.parametrize("seed", range(5))
    def test_a_draw_that_can_be_filled_is(self, seed: int) -> None:
        """Of 20 originals half have five positives and one free, half the other way round."""
        records = [
            triplet(f"s{i}-{j}", "text" if (j < 5) == (i % 2 == 0) else kind, f"s{i}")
            for i in range(20)
            for j, kind in enumerate(["free", "free", "texture", "color", "color", "texture"])
        ]
        assert len(balanced_set(records, "text", n=30, seed=seed).records) == 60

    def test_copies_are_spread(self) -> None:
        """30 wanted, 20 originals with three triplets each: none is taken a third time."""
        records = [r for r in many(20, copies=3) if not r.id.startswith("unknown")]
        drawn = balanced_set(records, "text", n=30)
        copies = Counter(
            name for name, side in zip(drawn.clusters, drawn.truth, strict=True) if side
        )
        assert sorted(set(copies.values())) == [1, 2] and len(copies) == 20

    def test_without_a_source_the_original_file_tells(self) -> None:
        shared = [
            TripletRecord("a", "/o.png", "/1", "/2"),
            TripletRecord("b", "/o.png", "/3", "/4", source="s"),
            TripletRecord("c", "/p.png", "/3", "/4"),
            TripletRecord("d", "/p.png", "/3", "/4"),
        ]
        assert cluster_names(shared) == ["s", "s", "c", "c"]


class TestTooFew:
    def test_all_types_are_named_with_their_counts(self) -> None:
        records = [triplet("a", "texture"), triplet("b", "texture", "a")]
        with pytest.raises(DataError) as error:
            balanced_sets(records, n=30)
        for each in ARTIFACT_TYPES:
            assert f"test set '{each}': expected a triplet with the artifact" in str(error.value)
        assert "2 texture of 1 original" in str(error.value)

    @pytest.mark.parametrize("n", [1, 2, 5, 50])
    def test_without_a_number_a_set_is_as_large_as_the_data(self, n: int) -> None:
        """Halves of n of each kind; the odd one out of a kind stands in for another."""
        sets, missing = balanced_sets(many(n), n=None)
        assert not missing
        for drawn in sets.values():
            assert sum(drawn.truth) == n and len(drawn.records) == 2 * n
            assert drawn.notes == ()

    def test_one_original_on_two_sides_is_no_set(self) -> None:
        records = [triplet("a", "texture", "photo"), triplet("b", "free", "photo")]
        with pytest.raises(DataError, match="of another original"):
            balanced_set(records, "texture")

    def test_what_was_refused_is_clean_for_its_own_type_alone(self) -> None:
        """Raters refused the only candidate, of texture: nobody looked at its colours."""
        refused = replace(triplet("r", "", "s"), labels=(Label("texture", confirmed=False),))
        undecided = replace(
            triplet("u", "", "t"), labels=(*refused.labels, Label("texture", None, 0, 0))
        )
        records = [triplet("a", "texture"), triplet("b", "color"), refused, undecided]
        drawn = balanced_set(records, "texture", n=1)
        assert {r.id for r in drawn.records} <= {"a", "b", "r"}
        assert counts(balanced_set([records[0], refused], "texture")) == {"texture": 1, "free": 1}
        with pytest.raises(DataError, match="0 free of 0 originals"):
            balanced_set([records[1], refused], "color")

    def test_fewer(self) -> None:
        drawn = balanced_set(many(20), "text", n=30)
        assert counts(drawn) == {"text": 20, "free": 6, "texture": 7, "color": 7}
        assert drawn.notes[0].startswith("20 text, 6 free, 7 texture, 7 color instead of 30 text")

    def test_fewer_of_one_kind_are_made_up_for_by_the_others(self) -> None:
        records = [r for r in many(50) if not r.id.startswith("text0")]
        drawn = balanced_set(records, "color", n=30)
        assert counts(drawn) == {"color": 30, "free": 15, "texture": 15}

    def test_fewer_where_originals_are_shared(self) -> None:
        drawn = balanced_set(few_originals(), "texture", n=100)
        assert sum(drawn.truth) * 2 == len(drawn.truth) > 20
        assert all(len(sides) == 1 for sides in sides_by_original(drawn).values())

    def test_fewer_leaves_out_what_cannot_be(self) -> None:
        records = [r for r in many(10) if not r.id.startswith("text0")]
        sets, missing = balanced_sets(records, n=5)
        assert list(sets) == ["texture", "color"]
        assert "0 text of 0 originals" in missing["text"]

    def test_nothing_at_all(self) -> None:
        with pytest.raises(DataError, match="test set 'color'"):
            balanced_sets([triplet("a", ""), triplet("b", "free")])

    def test_bad_arguments(self) -> None:
        fails(DataError, "did you mean 'color'", balanced_set, many(3), "colour")
        fails(DataError, "1 or more positives, got 0", balanced_set, many(3), "color", n=0)
        with pytest.raises(DataError, match="got a more than once"):
            balanced_set([triplet("a", "free"), triplet("a", "text")], "text", n=1)


class TestManifest:
    @pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
    def test_comes_back(self, tmp_path: Path, suffix: str) -> None:
        drawn = balanced_set(few_originals(), "text", n=12)
        path = tmp_path / f"text{suffix}"
        write_manifest(path, drawn.records)
        read = set_of(read_manifest(path), path)
        assert read.artifact_type == "text"
        assert [each.id for each in read.records] == [each.id for each in drawn.records]
        assert (read.truth, read.clusters) == (drawn.truth, drawn.clusters)
        assert counts(read) == counts(drawn)
        assert read.notes == drawn.notes
        assert len(read_manifest(path)) == 24

    def test_a_set_is_data_for_another_draw(self, tmp_path: Path) -> None:
        write_manifest(tmp_path / "a.parquet", balanced_set(many(), "text").records)
        again = balanced_set(read_manifest(tmp_path / "a.parquet"), "text", n=20, seed=3)
        assert {record.extra["draw_seed"] for record in again.records} == {3}

    def test_another_manifest_is_no_set(self, tmp_path: Path) -> None:
        write_manifest(tmp_path / "a.jsonl", many(2))
        fails(DataError, "test_set is None", set_of, read_manifest(tmp_path / "a.jsonl"), "a.jsonl")


class TestPresence:
    @pytest.mark.parametrize(
        ("labels", "free", "expected"),
        [
            ((), None, None),
            ((), True, False),
            ((Label("text"),), None, True),
            ((Label("text", confirmed=True),), None, True),
            ((Label("text", confirmed=False),), None, False),
            ((Label("text", confirmed=False), Label("text")), None, True),
            ((Label("text", votes_for=3, votes_against=2),), None, True),
            ((Label("text", votes_for=2, votes_against=2),), None, None),
            ((Label("color"),), None, False),
            ((Label("color", confirmed=False),), None, None),
            ((Label("color", votes_for=0, votes_against=2),), None, None),
        ],
    )
    def test_of_text(
        self, labels: tuple[Label, ...], free: bool | None, expected: bool | None
    ) -> None:
        record = TripletRecord("a", "/o", "/n", "/t", labels=labels, artifact_free=free)
        assert presence(record, "text") is expected

    def test_boxes(self) -> None:
        def boxes(*labels: Label) -> object:
            return labelled_boxes(TripletRecord("a", "/o", "/n", "/t", labels=labels), "text")

        here, there = (0, 0, 9, 9), (5, 5, 7, 7)
        assert boxes(Label("text", here), Label("text", there, confirmed=False)) == [here]
        assert boxes(Label("text", here), Label("text")) is None
        assert boxes(Label("color", here)) == []
        assert boxes() is None


def planted_triplet(tile: str, kind: str, number: int, photo: str) -> TripletRecord:
    record = triplet(f"{tile}-{kind}-{number}", kind, photo)
    extra = {} if kind == "free" else {PLANTED: kind}
    return replace(record, original=f"/data/{tile}.png", extra=extra)


class TestPlanted:
    @pytest.fixture
    def records(self) -> list[TripletRecord]:
        """Ten photographs of two tiles; one tile has no text."""
        return [
            planted_triplet(f"photo{i}-{j}", kind, number, f"photo{i}")
            for i in range(10)
            for j in range(2)
            for kind in (*ARTIFACT_TYPES, "free")
            for number in range(1 if kind == "free" else 2)
            if (i, j, kind) != (3, 1, "text")
        ]

    def test_each_positive_has_a_negative_of_its_tile(self, records: list[TripletRecord]) -> None:
        sets, missing = balanced_sets(records, n=15)
        assert not missing
        for name, drawn in sets.items():
            assert drawn.truth.count(True) == drawn.truth.count(False) == 15
            tiles = [
                sorted(
                    r.original
                    for r, side in zip(drawn.records, drawn.truth, strict=True)
                    if side is wanted
                )
                for wanted in (True, False)
            ]
            assert tiles[0] == tiles[1] and len(set(tiles[0])) == 15
            assert set(drawn.clusters) <= {f"photo{i}" for i in range(10)}
            drawn_as = Counter(
                r.extra["drawn_as"] for r in drawn.records if r.extra["side"] == "negative"
            )
            assert max(drawn_as.values()) <= 6 and name not in drawn_as
            assert "on both sides" in drawn.notes[0]
        assert len({r.id for drawn in sets.values() for r in drawn.records}) < 60

    def test_all_that_there_are(self, records: list[TripletRecord]) -> None:
        sets, _ = balanced_sets(records, n=None)
        assert [each.truth.count(True) for each in sets.values()] == [40, 40, 38]
        ids = [record.id for record in sets["text"].records]
        assert len(set(ids)) == len(ids)

    def test_the_order_of_rows_does_not_matter(self, records: list[TripletRecord]) -> None:
        shuffled = random.Random(1).sample(records, len(records))
        assert balanced_sets(records, n=7, seed=3) == balanced_sets(shuffled, n=7, seed=3)
        assert balanced_sets(records, n=7, seed=3) != balanced_sets(records, n=7, seed=4)

    def test_a_set_that_is_read_again_says_the_same(self, records: list[TripletRecord]) -> None:
        drawn = balanced_sets(records)[0]["color"]
        assert set_of(drawn.records, "data").notes == drawn.notes

    def test_nothing_to_pair(self, records: list[TripletRecord]) -> None:
        alone = [
            record
            for record in records
            if record.labels and record.labels[0].artifact_type == "text"
        ]
        fails(DataError, "one of the same original without, got none", balanced_sets, alone)

"""``verify import``: files of votes, controls, rules, agreement, precision."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from checks import csv_rows, fails
from mined_folder import make_mined
from scipy.optimize import minimize

from nacd_bench.cli.main import main
from nacd_bench.errors import DataError, UserError
from nacd_bench.evaluation.agreement import (
    alpha_of_coincidences,
    coincidences,
    is_confirmed,
    share_confirmed,
)
from nacd_bench.evaluation.chance import agreement, beyond_chance, confirmed_by_chance
from nacd_bench.evaluation.ranking import Preference, bradley_terry, ranking
from nacd_bench.jobs.verify.results import Imported, concluded, import_votes
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.tasks import Key, Task, new_task, write_key
from nacd_bench.runs.votes import Vote, collect, read_votes

EXPORT = "e1"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export by hand: every kept candidate, two controls."""
    folder = tmp_path_factory.mktemp("verify")
    run = make_mined(folder / "run")
    rows = kept(read_mined(run))
    asked = [
        new_task(0, "candidate", row["candidate"], row["artifact_type"]) for row in rows.to_pylist()
    ]
    controls = [
        Task("c1", "texture", "planted", "x", answer="A"),
        Task("c2", "text", "identical", "x", answer="same"),
    ]
    out = folder / "tasks"
    out.mkdir()
    pq.write_table(rows, out / "candidates.parquet")
    names = {task.id: task for task in [*asked, *controls]}
    write_key(out, Key(run=str(run), raters=3, tasks=names, export=EXPORT))
    return out


def key_of(tasks: Path) -> Key:
    from nacd_bench.runs.tasks import read_key

    return read_key(tasks)


def asked(tasks: Path) -> list[Task]:
    return [task for task in key_of(tasks).tasks.values() if task.kind == "candidate"]


def page(path: Path, rater: str, answers: dict[str, str], export: str = EXPORT) -> Path:
    votes = [
        {"task": task, "answer": answer, "time": f"2026-01-01T00:{number:02}:00Z", "seconds": 1.5}
        for number, (task, answer) in enumerate(answers.items())
    ]
    content = {"schema": "nacd-bench votes 1", "export": export, "rater": rater, "votes": votes}
    path.write_text(json.dumps(content))
    return path


def everybody(tasks: Path, folder: Path, says: dict[str, str]) -> list[Path]:
    """Files of raters who call the neural or traditional side worse, or none, throughout."""
    files = []
    for rater, what in says.items():
        answers = {"c1": "A", "c2": "same"}
        for task in asked(tasks):
            other = "A" if task.neural == "B" else "B"
            answers[task.id] = {"neural": str(task.neural), "traditional": other, "same": "same"}[
                what
            ]
        files.append(page(folder / f"{rater}.json", rater, answers))
    return files


def verify(tasks: Path, votes: Any, folder: Path, **options: Any) -> Imported:
    return import_votes(tasks, votes, folder / "verified", **options)


class TestRules:
    @pytest.mark.parametrize(
        ("said", "any_", "majority", "unanimous"),
        [
            ("nnn", True, True, True),
            ("nnt", True, True, False),
            ("nst", True, False, False),
            ("sst", False, False, False),
            ("n", True, None, None),
            ("s", None, None, False),
            ("nn", True, True, None),
            ("ss", None, False, False),
            ("", None, None, None),
            ("nnttt", True, False, False),
        ],
    )
    def test_decisions(
        self, said: str, any_: bool | None, majority: bool | None, unanimous: bool | None
    ) -> None:
        words = [{"n": "neural", "t": "traditional", "s": "same"}[letter] for letter in said]
        found = [is_confirmed(words, rule, 3) for rule in ("any", "majority", "unanimous")]
        assert found == [any_, majority, unanimous]


def krippendorff_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Of what raters said, one sequence per unit; None where it is not defined."""
    shared = [answers for answers in units if len(answers) > 1]
    alpha = float(alpha_of_coincidences(coincidences(shared)[0].sum(axis=0)))
    return None if math.isnan(alpha) else alpha


class TestAgreement:
    def test_published_example(self) -> None:
        """Krippendorff 2011, section C: four observers, twelve units, nominal: 0.743."""
        observers = (
            "123321412...",
            "1233224125.3",
            ".3332342251.",
            "12332441251.",
        )
        units = [[row[place] for row in observers if row[place] != "."] for place in range(12)]
        assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)

    def test_ends(self) -> None:
        assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1
        assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None
        assert krippendorff_alpha([["a"], [], ["b"]]) is None
        assert krippendorff_alpha([["a", "b"], ["b", "a"]]) < 0  # type: ignore[operator]


def random_votes(photographs: int, each: int, seed: int, same: float = 0.0) -> tuple[Any, ...]:
    """Candidates, answers and sides of three raters who pick sides by a coin."""
    rng = np.random.default_rng(seed)
    rows = [
        {"candidate": f"c{i}", "artifact_type": "text", "image": str(i // each)}
        for i in range(photographs * each)
    ]
    sides = {row["candidate"]: "AB"[rng.integers(2)] for row in rows}
    answers = {
        row["candidate"]: {
            rater: "same" if rng.random() < same else ("neural", "traditional")[rng.integers(2)]
            for rater in "uvw"
        }
        for row in rows
    }
    return rows, answers, sides


class TestChance:
    @pytest.mark.parametrize("rule", ["any", "majority", "unanimous"])
    @pytest.mark.parametrize("same", [[], [0.25], [0.0, 0.5], [0.1, 0.9, 1.0], [0.2] * 4])
    def test_all_answers_of_all_raters(self, rule: Any, same: list[float]) -> None:
        """The sum over everything that they may say, of three who were to look."""
        sums: dict[bool | None, float] = dict.fromkeys((True, False, None), 0.0)
        for said in itertools.product(("neural", "traditional", "same"), repeat=len(same)):
            chances = [r if a == "same" else (1 - r) / 2 for a, r in zip(said, same, strict=True)]
            sums[is_confirmed(said, rule, 3)] += math.prod(chances)
        decided = sums[True] + sums[False]
        wanted = sums[True] / decided if decided else None
        assert confirmed_by_chance(same, rule, 3) == (
            None if wanted is None else pytest.approx(wanted, abs=1e-12)
        )

    def test_intervals(self) -> None:
        """A jackknife over photographs by hand: each is left out, and all is counted again."""
        rows, answers, sides = random_votes(7, 3, seed=1, same=0.2)
        del rows[-1], answers["c1"]["u"]  # photographs and candidates of different sizes
        found = {row["candidate"]: row for row in concluded(rows, answers, sides, "any", 3)[0]}
        decided = [row for row in found.values() if row["confirmed"] is not None]
        units = {name: [*given.values()] for name, given in answers.items() if name in found}

        def beyond(photograph: str | None) -> float:
            own = [row for row in decided if row["image"] != photograph]
            return sum(row["confirmed"] - row["chance"] for row in own) / len(own)

        def alpha(photograph: str | None) -> float:
            own = [u for n, u in units.items() if found[n]["image"] != photograph]
            return krippendorff_alpha(own) or 0.0

        photographs = [row["image"] for row in rows]
        for whole, estimated in (
            (beyond, beyond_chance(list(found.values()))),
            (alpha, agreement([units[row["candidate"]] for row in rows], photographs)),
        ):
            without = [whole(name) for name in sorted({*photographs})]
            mean = sum(without) / 7
            error = math.sqrt(6 / 7 * sum((each - mean) ** 2 for each in without))
            assert estimated.value == pytest.approx(whole(None), abs=1e-12)
            # 97.5 % of Student's t with 6 degrees of freedom
            reach = estimated.value - estimated.low
            assert reach >= 2.446912 * error * (1 - 1e-6) and estimated.n_clusters == 7
        p = [row["chance"] for row in decided]
        least = math.sqrt(sum(each * (1 - each) for each in p)) / len(decided)
        error = math.sqrt(
            6 / 7 * sum((beyond(n) - sum(map(beyond, "0123456")) / 7) ** 2 for n in "0123456")
        )
        first = beyond_chance(decided)
        wanted = 2.446912 * max(error, least)
        assert first.value - first.low == pytest.approx(wanted, rel=1e-6)

    @pytest.mark.parametrize("same", [0.0, 1 / 3, 0.8])
    @pytest.mark.parametrize("rule", ["any", "majority", "unanimous"])
    def test_raters_at_random_are_warned_of(self, same: float, rule: Any) -> None:
        for seed in range(20):
            assert concluded(*random_votes(12, 3, seed, same), rule, 3)[1]["warnings"]

    @pytest.mark.parametrize("artifacts", [0.5, 1.0])
    def test_raters_who_look_are_not(self, artifacts: float) -> None:
        """Right in 80 %, whether all candidates are artifacts or half of them."""
        says = ("neural", "same", "traditional")
        for seed in range(20):
            rows, answers, sides = random_votes(12, 5, seed)
            rng = np.random.default_rng([seed, 1])
            for given in answers.values():
                right = 0 if rng.random() < artifacts else 1
                p = [0.8 if place == right else 0.1 for place in range(3)]
                given |= {rater: says[rng.choice(3, p=p)] for rater in given}
            assert not concluded(rows, answers, sides, "majority", 3)[1]["warnings"]

    @pytest.mark.parametrize("says", ["neural", "traditional", "same", "A"])
    @pytest.mark.parametrize("count", [0, 1, 2, 40])
    def test_few_votes_and_equal_ones(self, says: str, count: int) -> None:
        """Only many candidates that all raters confirm are more than chance."""
        rows, answers, sides = random_votes(count, 1, seed=4)
        for name, given in answers.items():
            other = {"A": "neural" if sides[name] == "A" else "traditional"}.get(says, says)
            given |= dict.fromkeys(given, other)
        told = concluded(rows, answers, sides, "majority", 3)[1]["warnings"]
        assert bool(told) == (says != "neural" or count < 40)
        one = {name: {"u": given["u"]} for name, given in answers.items()}
        told = concluded(rows, one, sides, "majority", 1)[1]["warnings"]
        assert "no two of them answered the same" in told[-1]

    def test_nothing_at_all(self) -> None:
        rows, conclusions = concluded([], {}, {}, "majority", 3)
        assert not rows and conclusions["seen"] is None
        assert "No candidate is decided" in conclusions["warnings"][0]


class TestRanking:
    def test_the_most_likely_strengths(self) -> None:
        """Those of scipy's minimiser, of four codecs, one of which never wins, two never met."""
        wins = np.array([[0, 7, 3, 9.5], [2, 0, 4, 0], [5, 1, 0, 2], [0, 0, 0, 0.0]])
        tied = wins + (wins + wins.T > 0) / 2

        def unlikely(free: np.ndarray) -> float:
            s = np.append(free, -free.sum())
            return float((tied * np.log1p(np.exp(s[None, :] - s[:, None]))).sum())

        wanted = minimize(unlikely, np.zeros(3), method="BFGS", options={"gtol": 1e-9}).x
        assert bradley_terry(wins) == pytest.approx(np.append(wanted, -wanted.sum()), abs=1e-5)

    def test_codecs_of_several_runs(self) -> None:
        rng = np.random.default_rng(2)
        truth = {"a": 1.0, "b": 0.0, "anchor": -1.0}
        compared = []
        for number in range(300):
            pair = ("a", "anchor") if number % 2 else ("b", "anchor")
            first = 1 / (1 + math.exp(truth["anchor"] - truth[pair[0]]))
            votes = float(rng.binomial(3, first))
            compared.append(Preference(f"photo {number % 30}", pair, (votes, 3 - votes)))
        found = ranking(compared)
        assert [each.codec for each in found] == ["a", "b", "anchor"]
        for each in found:
            assert each.strength.low < truth[each.codec] < each.strength.high
        assert sum(each.strength.value for each in found) == pytest.approx(0, abs=1e-9)
        apart = [*compared, Preference("photo 1", ("x", "y"), (1, 0))]
        assert ranking(apart) == ranking([]) == []

    def test_of_votes(self, tasks: Path, tmp_path: Path) -> None:
        says = {"u": "neural", "v": "neural", "w": "same"}
        done = verify(tasks, everybody(tasks, tmp_path, says), tmp_path)
        first, second = done.ranking
        assert first.codec.startswith("jpeg") and second.codec.startswith("webp")
        assert first.preferred == pytest.approx(2.5 / 3)
        rows = csv_rows(tmp_path / "verified" / "ranking.csv")
        assert float(rows[0]["strength"]) == first.strength.value
        assert first.strength.value == pytest.approx(-second.strength.value)
        n = 3 * len(asked(tasks))  # half the logarithm of the odds, with a tie more
        odds = (2.5 * n / 3 + 0.5) / (0.5 * n / 3 + 0.5)
        assert first.strength.value == pytest.approx(math.log(odds) / 2)
        # 97.5 % of Student's t with 2 degrees of freedom, of three photographs that are alike
        p = odds / (1 + odds)
        wanted = 4.302653 * 0.5 / math.sqrt(n * p * (1 - p))
        reach = first.strength.value - first.strength.low
        assert reach == pytest.approx(wanted, rel=1e-6)


class TestVotes:
    def test_everybody_sees_it(self, tasks: Path, tmp_path: Path) -> None:
        files = everybody(tasks, tmp_path, dict.fromkeys("uvw", "neural"))
        done = verify(tasks, files, tmp_path)
        assert not done.failures
        assert set(done.rows["confirmed"].to_pylist()) == {True}
        assert set(done.rows["votes_for"].to_pylist()) == {3}
        assert done.summary["confirmed"] == len(asked(tasks))
        shares = [each for each in done.precision if each["preset"] == "all"]
        assert shares and all(each["share"] == 1 and each["low"] < 1 for each in shares)

    @pytest.mark.parametrize(("rule", "wanted"), [("any", True), ("majority", False)])
    def test_rules_apply(self, rule: str, wanted: bool, tasks: Path, tmp_path: Path) -> None:
        says = {"u": "neural", "v": "traditional", "w": "same"}
        done = verify(tasks, everybody(tasks, tmp_path, says), tmp_path, rule=rule)
        assert set(done.rows["confirmed"].to_pylist()) == {wanted}
        assert set(done.rows["votes_same"].to_pylist()) == {1}
        assert set(done.rows["votes_against"].to_pylist()) == {2}
        assert done.summary["krippendorff_alpha"]["all"]["value"] < 0

    def test_too_few_raters_decide_nothing(self, tasks: Path, tmp_path: Path) -> None:
        files = everybody(tasks, tmp_path, {"u": "same", "v": "same"})
        done = verify(tasks, files, tmp_path, rule="any")
        assert set(done.rows["confirmed"].to_pylist()) == {None}
        done = verify(tasks, files, tmp_path, raters=2)
        assert set(done.rows["confirmed"].to_pylist()) == {False}

    def test_raters_who_fail_the_controls(self, tasks: Path, tmp_path: Path) -> None:
        good = everybody(tasks, tmp_path, {"u": "same", "v": "same", "w": "same"})
        answers = {task.id: str(task.neural) for task in asked(tasks)}
        clicks = page(tmp_path / "x.json", "x", {**answers, "c1": "B", "c2": "A"})
        unchecked = page(tmp_path / "y.json", "y", dict(list(answers.items())[:1]))
        done = verify(tasks, [*good, clicks, unchecked], tmp_path)
        dropped = {each["name"]: each["dropped"] for each in done.raters}
        assert dropped == {"u": False, "v": False, "w": False, "x": True, "y": False}
        assert sum(done.rows["votes_for"].to_pylist()) == 1  # that of y
        rows = {row["name"]: row for row in csv_rows(tmp_path / "verified" / "raters.csv")}
        assert (rows["x"]["right"], rows["x"]["dropped"]) == ("0", "True")
        assert rows["y"]["accuracy"] == ""
        done = verify(tasks, [*good, clicks], tmp_path, min_control_accuracy=0)
        assert not any(each["dropped"] for each in done.raters)

    def test_votes_that_do_not_count(self, tasks: Path, tmp_path: Path) -> None:
        task = asked(tasks)[0]
        neural, other = str(task.neural), "A" if task.neural == "B" else "B"
        votes = [
            {"task": task.id, "answer": other, "time": "2026-01-01T00:00:00Z"},
            {"task": task.id, "answer": neural, "time": "2026-01-02T00:00:00Z"},
            {"task": task.id, "answer": neural, "time": "2026-01-02T00:00:00Z"},
            {"task": "stranger", "answer": "A", "time": ""},
            {"task": task.id, "answer": "both", "time": ""},
            {"task": "", "answer": "A", "time": ""},
            "no vote",
        ]
        content = {"schema": "nacd-bench votes 1", "export": "e2", "rater": "u", "votes": votes}
        (tmp_path / "u.json").write_text(json.dumps(content))
        (tmp_path / "v.csv").write_text(f"rater,task,answer\nv,{task.id},A\nv,{task.id},B\n,x,A\n")
        (tmp_path / "w.csv").write_text("hello\n")
        (tmp_path / "broken.json").write_text("[{")
        names = ["u.json", "v.csv", "w.csv", "broken.json", "none.json"]
        done = verify(tasks, [tmp_path / name for name in names], tmp_path)
        row = next(r for r in done.rows.to_pylist() if r["candidate"] == task.candidate)
        assert (row["votes_for"], row["votes_against"]) == (1, 0)
        assert done.summary["votes_repeated"] == 1
        said = "\n".join(map(str, done.failures))
        for part in (
            "expected votes of export e1, got some of e2",
            "expected a task of this export, got 'stranger'",
            "the later one counts",
            "neither counts",
            "got 'both'",
            "expected the id of a task",
            "expected a rater's name",
            "a table without rater and task and answer",
            "a damaged file",
            "none.json: expected a file of votes",
        ):
            assert part in said, part
        assert len(csv_rows(tmp_path / "verified" / "failures.csv")) == len(done.failures)

    def test_no_text(self, tasks: Path, tmp_path: Path) -> None:
        """An answer to questions about text, which counts against; no answer to others."""
        answers = {task.id: "nothing" for task in asked(tasks)}
        files = [page(tmp_path / f"{who}.json", who, answers) for who in "uvw"]
        done = verify(tasks, files, tmp_path)
        for row in done.rows.to_pylist():
            said = 3 if row["artifact_type"] == "text" else 0
            names = ("votes_for", "votes_against", "votes_same", "votes_nothing", "raters")
            assert [row[name] for name in names] == [0, said, said, said, said]
            assert row["confirmed"] is (False if said else None)
        others = [task for task in asked(tasks) if task.artifact_type != "text"]
        assert len(done.failures) == 3 * len(others)
        assert "expected one of A, B, same for" in str(done.failures[0])

    def test_no_file_at_all(self, tasks: Path, tmp_path: Path) -> None:
        fails(
            DataError, "expected a file of votes", verify, tasks, tmp_path / "none.json", tmp_path
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"rule": "majorty"}, "unknown rule 'majorty'; did you mean 'majority'"),
            ({"raters": 0}, "raters as a whole number of at least 1"),
            (
                {"min_control_accuracy": 2},
                "min_control_accuracy as a number of at least 0",
            ),
            ({"bins": 0}, "bins"),
        ],
    )
    def test_settings(
        self, tasks: Path, tmp_path: Path, options: dict[str, Any], message: str
    ) -> None:
        files = everybody(tasks, tmp_path, {"u": "same"})
        fails(UserError, message, verify, tasks, files, tmp_path, **options)

    def test_order_does_not_matter(self, tasks: Path, tmp_path: Path) -> None:
        files = everybody(tasks, tmp_path, {"u": "neural", "v": "traditional", "w": "same"})
        first = verify(tasks, files, tmp_path)
        second = verify(tasks, files[::-1], tmp_path)
        assert first.rows.equals(second.rows) and first.summary == second.summary


class TestFiles:
    def same(self, path: Path, wanted: Iterable[tuple[str, str, str]], kind: str) -> None:
        found = read_votes(path)
        assert [(vote.rater, vote.task, vote.answer) for vote in found.votes] == list(wanted)
        assert found.kind == kind and not found.faults

    def test_label_studio(self, tmp_path: Path) -> None:
        def annotation(who: Any, choices: list[str], **more: Any) -> dict[str, Any]:
            value = {"choices": choices}
            result = [{"type": "choices", "from_name": "answer", "to_name": "i", "value": value}]
            times = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z"}
            return {"completed_by": who, "result": result, "was_cancelled": False, **times, **more}

        content = [
            {
                "id": 1,
                "data": {"task": "t1", "image": "x"},
                "annotations": [
                    annotation(1, ["A"]),
                    annotation({"id": 2, "email": "two@example.org"}, ["same"]),
                    annotation(3, ["B"], was_cancelled=True),
                ],
            },
            {"id": 2, "data": {"task": "t2"}, "annotations": []},
        ]
        path = tmp_path / "export.json"
        path.write_text(json.dumps(content))
        wanted = [("1", "t1", "A"), ("two@example.org", "t1", "same")]
        self.same(path, wanted, "Label Studio, JSON")
        assert read_votes(path).votes[0].time == "2026-01-02T00:00:00Z"
        content[0]["annotations"] = [annotation(1, ["A", "B"]), annotation(1, [])]  # type: ignore[index]
        path.write_text(json.dumps(content))
        assert len(read_votes(path).faults) == 2
        path.write_text(json.dumps([{"id": 1, "task": "t1", "answer": "A", "annotator": 1}]))
        self.same(path, [("1", "t1", "A")], "Label Studio, JSON-MIN")
        path.write_text('id,task,image,annotation_id,annotator,answer\n1,t1,"data:x",5,2,A\n')
        self.same(path, [("2", "t1", "A")], "Label Studio, CSV")

    def test_toloka(self, tmp_path: Path) -> None:
        lines = [
            "INPUT:task\tINPUT:image\tOUTPUT:answer\tGOLDEN:answer\tASSIGNMENT:worker_id"
            "\tASSIGNMENT:status\tASSIGNMENT:started",
            "t1\thttp://x/a.png\tA\t\tabc\tAPPROVED\t2026-01-01T10:00:00",
            "t2\thttp://x/b.png\tB\t\tabc\tREJECTED\t2026-01-01T10:00:00",
            "t3\thttp://x/c.png\t\tA\t\t\t",
        ]
        path = tmp_path / "assignments.tsv"
        path.write_text("\n".join(lines) + "\n")
        self.same(path, [("abc", "t1", "A")], "Toloka")

    def test_what_spreadsheets_do(self, tmp_path: Path) -> None:
        path = tmp_path / "votes.csv"
        wanted = [("Jürgen", "t1", "A"), ("Jürgen", "t2", "same")]
        text = "Rater;Task ;ANSWER;;\r\nJürgen; t1 ;a;;\r\n;;;;\r\nJürgen;'t2;SAME;;\r\n"
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
            path.write_bytes(text.encode(encoding))
            self.same(path, wanted, "table")
        path.write_text(text.replace(";", "\t"), "utf-8")
        self.same(path, wanted, "table")

    def test_the_page(self, tmp_path: Path) -> None:
        path = page(tmp_path / "u.json", "u", {"t1": "A"})
        self.same(path, [("u", "t1", "A")], "voting page")
        assert read_votes(path).exports == {EXPORT}
        path.write_text('{"schema": "nacd-bench votes 1", "votes": 3}')
        fails(DataError, "a list of votes", read_votes, path)
        path.write_text('{"something": "else"}')
        fails(DataError, "JSON of another kind", read_votes, path)

    def test_other_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "votes.csv"
        path.write_bytes(b"\xff\xfe\x00")
        fails(DataError, "UTF-8", read_votes, path)


class TestResults:
    def test_precision_by_confidence(self, tasks: Path, tmp_path: Path) -> None:
        rows = {row["candidate"]: row for row in kept(read_mined(key_of(tasks).run)).to_pylist()}
        strong = {
            task.id: str(task.neural) if rows[task.candidate]["confidence"] > 0.6 else "same"
            for task in asked(tasks)
        }
        files = [page(tmp_path / f"{who}.json", who, strong) for who in "uvw"]
        done = verify(tasks, files, tmp_path, bins=2)
        for each in done.precision:
            assert each["low"] <= each["share"] <= each["high"]
            if each["low_confidence"] > 0.6:
                assert each["share"] == 1
            if each["high_confidence"] <= 0.6:
                assert each["share"] == 0
        assert {0, 1} <= {each["share"] for each in done.precision}
        assert len(csv_rows(tmp_path / "verified" / "precision.csv")) == len(done.precision)
        assert done.summary["krippendorff_alpha"]["all"]["value"] == 1
        assert (tmp_path / "verified" / "precision.svg").read_bytes().startswith(b"<?xml")

    def test_interval(self) -> None:
        """Both ends leave 2.5 % of the binomial beyond; few candidates are covered too."""
        for count in (1, 2, 3, 10):
            ends = []
            for yes in range(count + 1):
                rows = [
                    {"confidence": 0.5, "confirmed": i < yes, "chance": 0.5} for i in range(count)
                ]
                found = share_confirmed("texture", "all", rows)
                chance = [
                    sum(math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in those)
                    for p, those in (
                        (found["low"], range(yes, count + 1)),
                        (found["high"], range(yes + 1)),
                    )
                ]
                wanted = [0.025 if yes else 1, 0.025 if yes < count else 1]
                assert chance == pytest.approx(wanted, abs=1e-6)
                ends.append((found["low"], found["high"]))
            for share in (0.01, 0.1, 0.17, 0.3, 0.5):
                covered = sum(
                    math.comb(count, k) * share**k * (1 - share) ** (count - k)
                    for k, (low, high) in enumerate(ends)
                    if low <= share <= high
                )
                assert covered >= 0.95

    def test_command(self, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        files = everybody(tasks, tmp_path, {"u": "neural", "v": "neural", "w": "same"})
        folder = tmp_path / "out"
        arguments = ["verify", "import", str(tasks), *map(str, files), f"folder={folder}"]
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert f"{len(asked(tasks))} confirmed, 0 refused, 0 undecided" in printed
        assert "Krippendorff" in printed and "voting page" in printed
        assert "Confirmed of those decided: 100 %, by chance" in printed
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["rule"] == "majority" and summary["people"] == 3
        (tmp_path / "u.json").write_text("{")
        assert main(arguments) == 1
        assert "damaged file" in capsys.readouterr().out

    def test_the_data_set_reads_it(self, tasks: Path, tmp_path: Path) -> None:
        from nacd_bench.jobs.dataset.sources import read_verified

        files = everybody(tasks, tmp_path, dict.fromkeys("uvw", "neural"))
        rows, summary = read_verified(verify(tasks, files, tmp_path).folder)
        assert rows["confirmed"].to_pylist() == [True] * len(asked(tasks))
        assert summary["rule"] == "majority"

    def test_damaged_candidates(self, tasks: Path, tmp_path: Path) -> None:
        import shutil

        files = everybody(tasks, tmp_path, {"u": "same"})
        copy = tmp_path / "tasks"
        shutil.copytree(tasks, copy)
        (copy / "candidates.parquet").write_bytes(b"no")
        with pytest.raises(DataError, match=r"candidates\.parquet: expected a Parquet file"):
            verify(copy, files, tmp_path)
        (copy / "key.json").unlink()
        fails(DataError, r"no key\.json", verify, copy, files, tmp_path)


def test_equal_times_decide_nothing() -> None:
    task = new_task(0, "candidate", "c", "text")
    key = Key(run="", raters=3, tasks={task.id: task}, export=EXPORT)
    found = collect([Vote("u", task.id, answer, "2026", "here") for answer in "AB"], key, 0.7)
    assert not found.answers and "neither counts" in str(found.faults[0])

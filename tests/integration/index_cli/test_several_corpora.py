"""Several corpora in one index: each by its own command, and none lost by following advice."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from corpus.errors import KbvqaError
from corpus.files.passages import write_passages
from corpus.types import Passage
from retriever.errors import IndexNotReady
from retriever.index.passage_index import PassageIndex
from tests.integration.index_cli.commands import PASSAGES, corpus, info, kbvqa


def test_added_passages_take_nobodys_place(tmp_path: Path) -> None:
    location, other = tmp_path / "index", tmp_path / "other.jsonl"
    kbvqa("index", "build", corpus(tmp_path, PASSAGES[:3]), "--index", location)
    write_passages(other, [PASSAGES[0], replace(PASSAGES[1], text="Another."), *PASSAGES[3:5]])
    refused = kbvqa("index", "build", other, "--index", location, "--add", ok=False)
    assert isinstance(refused.exception, IndexNotReady)
    assert (
        "1 passage of other would take the places of those of corpus that have the same ids in the "
        f"index, such as {PASSAGES[1].id!r}. To keep both, give its passages ids of their own"
    ) in str(refused.exception)
    assert info(location)["count"] == 3
    write_passages(other, PASSAGES[3:5])
    kbvqa("index", "build", other, "--index", location, "--add")
    write_passages(other, [replace(PASSAGES[3], text="Another."), PASSAGES[4]])
    kbvqa("index", "build", other, "--index", location, "--add")  # its own may change
    assert info(location)["count"] == 5


def test_a_second_corpus_is_mixed_in_only_when_asked(tmp_path: Path) -> None:
    location = tmp_path / "index"
    kbvqa("index", "build", corpus(tmp_path, PASSAGES[:2]), "--index", location)
    other = tmp_path / "other.jsonl"
    write_passages(other, PASSAGES[2:5])
    refused = kbvqa("index", "build", other, "--index", location, ok=False)
    assert isinstance(refused.exception, KbvqaError)
    assert "holds the corpus 'corpus', and this one is 'other': --add" in str(refused.exception)
    assert info(location)["count"] == 2
    both = kbvqa("index", "build", other, "--index", location, "--add", "--prune", ok=False)
    assert "--add keeps the other corpus, and --prune deletes it" in both.output
    added = kbvqa("index", "build", other, "--index", location, "--add")
    assert "2 are not of other: the index has corpus as well" in added.stdout
    facts = info(location)
    assert (facts["count"], facts["corpus"], facts["passages"], facts["kept"]) == (
        *(5, "corpus", 2, 3),
    )
    assert list(facts["added"]) == ["other"]  # type: ignore[call-overload]
    swapped = kbvqa("index", "build", other, "--index", location, "--add", "--swap", ok=False)
    assert "--swap builds an index without it" in swapped.output
    kbvqa("index", "build", corpus(tmp_path, PASSAGES[:1]), "--index", location, "--swap")
    facts = info(location)
    assert (facts["count"], facts["corpus"], facts["added"]) == (1, "corpus", None)


@pytest.fixture
def two(location: str, tmp_path: Path) -> tuple[Path, Path]:
    """Two corpora, `corpus` and `other`, the second added to the index of the first."""
    first, other = corpus(tmp_path, PASSAGES[:6]), tmp_path / "other.jsonl"
    write_passages(other, PASSAGES[6:10])
    kbvqa("index", "build", first, "--index", location)
    kbvqa("index", "build", other, "--index", location, "--add")
    return first, other


def test_no_advice_deletes_passages_of_a_corpus_that_was_added_to(
    location: str, tmp_path: Path, two: tuple[Path, Path]
) -> None:
    for path in two:
        again = kbvqa("index", "build", path, "--index", location).stdout
        assert "0 encoded and written" in again and "--prune" not in again
        pruned = kbvqa("index", "build", path, "--index", location, "--prune", ok=False)
        assert isinstance(pruned.exception, IndexNotReady)
        assert "holds the corpora 'corpus' and 'other'" in str(pruned.exception)
        assert info(location)["count"] == 10
    third = tmp_path / "third.jsonl"
    write_passages(third, PASSAGES[10:])
    refused = kbvqa("index", "build", third, "--index", location, ok=False)
    assert "--add" in str(refused.exception) and "--prune" not in str(refused.exception)
    write_passages(two[0], [replace(PASSAGES[0], text="Thing 0 moved."), *PASSAGES[1:4]])
    changed = kbvqa("index", "build", two[0], "--index", location).stdout
    assert "1 encoded and written, 3 there already, 0 deleted" in changed
    assert "--prune" not in changed
    facts = info(location)
    assert (facts["count"], facts["passages"], facts["kept"]) == (10, 4, 6)
    assert "nothing wrong" in kbvqa("index", "verify", "--index", location).stdout


def test_a_corpus_that_changes_takes_no_passage_of_another(
    location: str, tmp_path: Path, two: tuple[Path, Path]
) -> None:
    first, other = two
    kbvqa("index", "copy", location, tmp_path / "copy")  # which knows whose they are as well
    theirs = {first: PASSAGES[6], other: PASSAGES[0]}
    for path, own in ((first, PASSAGES[:6]), (other, PASSAGES[6:10])):
        write_passages(path, [*own, replace(theirs[path], text="Another.")])
        for place in (location, tmp_path / "copy"):
            refused = kbvqa("index", "build", path, "--index", place, ok=False)
            assert isinstance(refused.exception, IndexNotReady)
            named = "other" if path == first else "corpus"
            assert f"would take the places of those of {named}" in str(refused.exception)
            assert info(place)["count"] == 10
        write_passages(path, [replace(own[0], text="Moved."), *own[1:]])
        kbvqa("index", "build", path, "--index", location)
    with PassageIndex.open(location) as index:
        assert [p.text for p in index.get(["p0", "p6", "p7"])] == [
            "Moved.",
            "Moved.",
            PASSAGES[7].text,
        ]


def test_a_passage_of_two_corpora_that_one_has_changed_is_said(tmp_path: Path) -> None:
    location, other = tmp_path / "index", tmp_path / "other.jsonl"
    first = corpus(tmp_path, PASSAGES[:3])
    write_passages(other, PASSAGES[2:5])
    kbvqa("index", "build", first, "--index", location)
    kbvqa("index", "build", other, "--index", location, "--add")
    kbvqa("index", "build", other, "--index", location)
    write_passages(first, [*PASSAGES[:2], replace(PASSAGES[2], text="Moved.")])
    kbvqa("index", "build", first, "--index", location)
    refused = kbvqa("index", "build", other, "--index", location, ok=False)
    assert isinstance(refused.exception, IndexNotReady)
    assert "1 passage of other would take the places of those of corpus" in str(refused.exception)


@pytest.mark.parametrize("ids", [("p6", "p7"), ("p0", "p1")])
def test_another_corpus_of_the_same_name_takes_no_place(
    tmp_path: Path, ids: tuple[str, str]
) -> None:
    location, first = tmp_path / "index", corpus(tmp_path, PASSAGES[:2])
    kbvqa("index", "build", first, "--index", location)
    (tmp_path / "elsewhere").mkdir()
    theirs = [Passage(id_, f"Song {id_}", "Sung in the evening by all.") for id_ in ids]
    other = corpus(tmp_path / "elsewhere", theirs)
    for options in ((), ("--add",)):
        refused = kbvqa("index", "build", other, "--index", location, *options, ok=False)
        assert isinstance(refused.exception, IndexNotReady)
        assert "--name NAME --add" in str(refused.exception)
        own = "give its passages ids of their own (a word before each will do)"
        assert (own in str(refused.exception)) is (ids[0] == "p0")
        assert info(location)["count"] == 2
    if ids[0] == "p6":
        kbvqa("index", "build", other, "--index", location, "--name", "songs", "--add")
        facts = info(location)
        assert (facts["count"], list(facts["added"])) == (4, ["songs"])  # type: ignore[call-overload]
        again = kbvqa("index", "build", other, "--index", location, "--name", "songs").stdout
        assert "0 encoded and written, 2 there already" in again
    else:
        kbvqa("index", "build", other, "--index", location, "--prune")
        assert info(location)["count"] == 2


def test_folders_of_markdown_with_files_of_the_same_names_are_kept_as_the_message_says(
    tmp_path: Path,
) -> None:
    location = tmp_path / "index"
    for parent, text in (
        ("d1", "The oak is a tall tree of the forest."),
        ("d2", "Tea is a drink."),
    ):
        (tmp_path / "both" / parent / "docs").mkdir(parents=True)
        (tmp_path / "both" / parent / "docs" / "a.md").write_text(f"# {parent}\n{text * 3}")
    first, second = (tmp_path / "both" / name / "docs" for name in ("d1", "d2"))
    kbvqa("index", "build", first, "--index", location)
    for options in ((), ("--name", "other", "--add")):
        refused = kbvqa("index", "build", second, "--index", location, *options, ok=False)
        assert isinstance(refused.exception, IndexNotReady)
        said = str(refused.exception)
        assert "Its ids are paths: to keep both, put both into one folder" in said
        assert "index that with --swap" in said and "--name NAME" not in said
    kbvqa("index", "build", tmp_path / "both", "--index", location, "--swap")
    assert info(location)["count"] == 2


@pytest.fixture
def namesakes(location: str, tmp_path: Path) -> tuple[Path, Path]:
    """Two corpora in files called alike, the second added as `second` to the index of the first."""
    (tmp_path / "elsewhere").mkdir()
    first = corpus(tmp_path, PASSAGES[:4])
    second = corpus(tmp_path / "elsewhere", PASSAGES[4:8])
    kbvqa("index", "build", first, "--index", location)
    kbvqa("index", "build", second, "--index", location, "--name", "second", "--add")
    return first, second


@pytest.mark.parametrize("changed", [False, True])
def test_a_corpus_is_not_taken_for_the_one_that_its_file_is_called_as(
    location: str, namesakes: tuple[Path, Path], changed: bool
) -> None:
    _, second = namesakes
    if changed:
        write_passages(second, [replace(PASSAGES[4], text="Thing 4 moved."), *PASSAGES[5:9]])
    before = info(location)
    for options in ((), ("--add",)):
        refused = kbvqa("index", "build", second, "--index", location, *options, ok=False)
        assert isinstance(refused.exception, IndexNotReady)
        assert (
            f"has of {second} is of second, and nothing of it is of 'corpus': --name second goes on"
        ) in str(refused.exception)
        assert info(location) == before
    kbvqa("index", "build", second, "--index", location, "--name", "second")
    assert info(location)["count"] == 8 + changed


def test_what_a_corpus_of_several_has_no_longer_is_said_each_time(
    location: str, namesakes: tuple[Path, Path]
) -> None:
    first, second = namesakes
    write_passages(second, PASSAGES[4:7])
    for _ in range(2):
        told = kbvqa("index", "build", second, "--index", location, "--name", "second").stdout
        assert "4 are not of second: the index has corpus as well" in told
        assert "1 was of second, which has it no longer, and is still found" in told
    told = kbvqa("index", "build", first, "--index", location).stdout
    assert "4 are not of corpus" in told and "no longer" not in told


def test_each_corpus_of_an_index_goes_on_by_its_own_command(
    location: str, tmp_path: Path, two: tuple[Path, Path]
) -> None:
    first, other = two
    before = info(location)
    for path in (first, other, first):
        for options in ((), ("--add",)):
            kbvqa("index", "build", path, "--index", location, *options)
            assert info(location) == before
    write_passages(other, [*PASSAGES[6:9], replace(PASSAGES[9], text="Moved."), PASSAGES[10]])
    changed = kbvqa("index", "build", other, "--index", location, "--add").stdout
    assert "2 encoded and written, 3 there already" in changed
    facts = info(location)
    assert (facts["count"], facts["corpus"], facts["corpus_sha256"]) == (
        *(11, "corpus", before["corpus_sha256"]),
    )
    assert facts["added"]["other"]["passages"] == 5  # type: ignore[index]
    kbvqa("index", "copy", location, tmp_path / "copy")
    copied = info(tmp_path / "copy")
    assert (copied["added"], copied["kept"]) == (facts["added"], 5)
    with PassageIndex.open(tmp_path / "copy") as index:  # as evaluations record it
        assert index.fingerprint.corpus == "corpus + other"
        assert index.fingerprint.corpus_sha256 != before["corpus_sha256"]
        assert index.fingerprint.passages == 11


def test_adding_what_is_there_already_changes_nothing(location: str, tmp_path: Path) -> None:
    first, part = corpus(tmp_path, PASSAGES[:6]), tmp_path / "part.jsonl"
    kbvqa("index", "build", first, "--index", location)
    write_passages(part, PASSAGES[:3])
    before = info(location)
    for _ in range(2):
        added = kbvqa("index", "build", part, "--index", location, "--add").stdout
        assert "0 encoded and written, 3 there already" in added
        assert info(location) == before
    kbvqa("index", "build", first, "--index", location)


def test_what_is_refused_to_be_added_leaves_no_trace(location: str, tmp_path: Path) -> None:
    first, taken = corpus(tmp_path, PASSAGES[:6]), tmp_path / "taken.jsonl"
    kbvqa("index", "build", first, "--index", location)
    write_passages(taken, [replace(passage, text="Another.") for passage in PASSAGES[:3]])
    before = info(location)
    recorded = Path(location, "kbvqa-index.json")
    record = recorded.read_text() if recorded.exists() else ""
    refused = kbvqa("index", "build", taken, "--index", location, "--add", ok=False)
    assert isinstance(refused.exception, IndexNotReady)
    assert info(location) == before
    if record:
        assert recorded.read_text() == record
        assert [path.name for path in Path(location).glob("shard*")] == ["shard"]
    write_passages(first, PASSAGES[:7])
    kbvqa("index", "build", first, "--index", location)
    assert info(location)["count"] == 7


def test_an_index_of_several_corpora_that_was_recorded_without_a_list(tmp_path: Path) -> None:
    """Earlier versions recorded the corpus that was last added, and the rest as kept."""
    location, other = tmp_path / "index", tmp_path / "other.jsonl"
    first = corpus(tmp_path, PASSAGES[:6])
    write_passages(other, PASSAGES[6:10])
    kbvqa("index", "build", other, "--index", tmp_path / "of-other")
    made_from = info(tmp_path / "of-other")
    kbvqa("index", "build", first, "--index", location)
    kbvqa("index", "build", other, "--index", location, "--add")
    recorded = location / "kbvqa-index.json"
    record = json.loads(recorded.read_text())
    finished = record["finished"]
    for name in ("corpus", "corpus_sha256", "passages"):
        finished["fingerprint"][name] = made_from[name]
    finished |= {"kept": 6, "namespace": "corpus"}
    del finished["added"], finished["writing"]
    recorded.write_text(json.dumps(record))
    facts = info(location)
    assert (facts["count"], facts["corpus"], list(facts["added"])) == (  # type: ignore[call-overload]
        *(10, "other", ["corpus"]),
    )
    again = kbvqa("index", "build", other, "--index", location).stdout
    assert "6 are not of other: the index has corpus as well" in again
    for path in (first, other):
        kbvqa("index", "build", path, "--index", location, "--prune", ok=False)
        kbvqa("index", "build", path, "--index", location)
    assert info(location)["count"] == 10
    assert "nothing wrong" in kbvqa("index", "verify", "--index", location).stdout


def test_what_was_not_finished_is_not_taken_for_whole(
    location: str, tmp_path: Path, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = two
    write_passages(other, PASSAGES[6:])

    def killed(self: PassageIndex, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PassageIndex, "finish", killed)
        kbvqa("index", "build", other, "--index", location, ok=False)
    write_passages(first, [*PASSAGES[:5], replace(PASSAGES[5], text="Moved.")])
    refused = kbvqa("index", "build", first, "--index", location, ok=False)
    assert "is being changed to 'other', which was not finished" in str(refused.exception)
    kbvqa("index", "build", other, "--index", location)
    kbvqa("index", "build", first, "--index", location)
    facts = info(location)
    assert (facts["count"], facts["passages"], facts["kept"]) == (12, 6, 6)
    assert facts["added"]["other"]["passages"] == 6  # type: ignore[index]
    assert "nothing wrong" in kbvqa("index", "verify", "--index", location).stdout


def test_a_corpus_whose_adding_was_stopped_goes_on(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server all of it may be there, but not be recorded."""
    other = tmp_path / "other.jsonl"
    write_passages(other, PASSAGES[6:])
    kbvqa("index", "build", corpus(tmp_path, PASSAGES[:6]), "--index", location)

    def killed(self: PassageIndex, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PassageIndex, "finish", killed)
        kbvqa("index", "build", other, "--index", location, "--add", ok=False)
    assert info(location)["added"] is None
    resumed = kbvqa("index", "build", other, "--index", location, "--add").stdout
    assert "0 encoded and written, 6 there already" in resumed
    facts = info(location)
    assert (facts["count"], facts["corpus"], list(facts["added"])) == (  # type: ignore[call-overload]
        *(12, "corpus", ["other"]),
    )


def test_nothing_is_added_to_what_was_never_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location, other = tmp_path / "index", tmp_path / "other.jsonl"
    write_passages(other, PASSAGES[6:])

    def killed(self: PassageIndex, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PassageIndex, "finish", killed)
        kbvqa("index", "build", corpus(tmp_path, PASSAGES[:6]), "--index", location, ok=False)
    refused = kbvqa("index", "build", other, "--index", location, "--add", ok=False)
    assert "is being changed to 'corpus', which was not finished" in str(refused.exception)

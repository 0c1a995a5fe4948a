"""Banners: what is trained on tells nothing of those that are measured, but for their colours."""

from pathlib import Path

import pytest
from PIL import Image

from corpus.demo.banners import MORE, PASSAGES, TRAINING, VALIDATION, write_banners
from corpus.examples import read_examples
from corpus.passages.corpora import open_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("banners")
    write_banners(made)
    return made


def test_each_question_s_passage_has_its_answer_and_each_picture_is_there(folder: Path) -> None:
    with open_corpus(folder / PASSAGES).read() as stream:
        passages = {passage.id: passage for passage in stream}
    assert len(passages) == 180
    for name in (TRAINING, MORE, VALIDATION):
        for example in read_examples(folder / name):
            [gold] = example.gold_passage_ids
            assert example.answers[0] in passages[gold].text
            assert Image.open(folder / example.image).size == (32, 32)


def test_a_banner_is_in_one_file_and_its_colours_are_in_all(folder: Path) -> None:
    with open_corpus(folder / PASSAGES).read() as stream:
        texts = {passage.id: passage.text for passage in stream}
    shown: dict[str, set[tuple[str, str]]] = {}
    for name in (TRAINING, MORE, VALIDATION):
        words = [texts[e.gold_passage_ids[0]].split() for e in read_examples(folder / name)]
        shown[name] = {(row[row.index("above") - 1], row[row.index("below.") - 1]) for row in words}
    assert sum(map(len, shown.values())) == len(set().union(*shown.values())) == 90
    for place in (0, 1):
        measured = {pair[place] for pair in shown[VALIDATION]}
        assert measured <= {pair[place] for pair in shown[MORE]}


def test_the_same_seed_draws_the_same_files(folder: Path, tmp_path: Path) -> None:
    write_banners(tmp_path / "again")
    write_banners(tmp_path / "other", seed=1)
    for name in (PASSAGES, TRAINING, MORE, VALIDATION):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        assert (folder / name).read_bytes() != (tmp_path / "other" / name).read_bytes()

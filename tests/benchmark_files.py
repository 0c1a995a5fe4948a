"""Tiny benchmark files in the true formats, made on the spot."""

import bz2
import csv
import gzip
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstandard

from tests.corpus_files import jsonl, parquet


def packed(path: Path, ending: str) -> Path:
    """Replace a file by itself compressed."""
    content, target = path.read_bytes(), path.with_name(f"{path.name}.{ending}")
    if ending == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr(path.name, content)
    else:
        pack = {"gz": gzip.compress, "bz2": bz2.compress, "zst": zstandard.compress}[ending]
        target.write_bytes(pack(content))
    path.unlink()
    return target


def okvqa(folder: Path, *, split: str = "val2014", gold: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    questions = [
        {
            "image_id": 297147,
            "question": "What sport can you use this for?",
            "question_id": 2971475,
        },
        {"image_id": 9, "question": "Who built this?", "question_id": 95},
    ]
    answers = [["race"] * 6 + ["motocross"] * 2 + ["ride", ""], ["Eiffel"] * 10]
    annotations = [
        {
            "image_id": question["image_id"],
            "question_id": question["question_id"],
            "question_type": "six",
            "answer_type": "other",
            "confidence": 3,
            "answers": [
                {
                    "answer_id": n,
                    "raw_answer": f"{text}ing",
                    "answer": text,
                    "answer_confidence": "yes",
                }
                for n, text in enumerate(given, start=1)
            ],
        }
        for question, given in zip(questions, answers, strict=True)
    ]
    (folder / f"OpenEnded_mscoco_{split}_questions.json").write_text(
        json.dumps({"info": {}, "questions": questions})
    )
    (folder / f"mscoco_{split}_annotations.json").write_text(
        json.dumps({"info": {}, "annotations": annotations})
    )
    if gold:
        rows = [
            {
                "question_id": 2971475,
                "caption": "a bike",
                "ctxs": [{"id": 17, "has_answer": True}, {"id": 4, "has_answer": False}],
            }
        ]
        (folder / "retriever_test.json").write_text(json.dumps(rows))
    return folder


INFOSEEK = [
    ("infoseek_val_00000000", "oven_04925844", "String", ["Paris", "City of Light"], "question"),
    ("infoseek_val_00000001", "oven_00000002", "Time", ["1889", "1890", "1888"], "entity"),
    (
        "infoseek_val_00000002",
        "oven_00000003",
        "Numerical",
        [{"wikidata": 330.0, "range": [297.0, 363.0]}],
        "entity",
    ),
]


def infoseek(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "data_id": id_,
            "image_id": image,
            "question": f"Question {id_[-1]}?",
            "answer": [answers[0]] if isinstance(answers[0], str) else ["330"],
            "answer_eval": answers,
            "data_split": f"val_unseen_{split}",
        }
        for id_, image, _, answers, split in INFOSEEK
    ]
    jsonl(folder / "infoseek_val.jsonl", rows)
    types = [{"data_id": id_, "question_type": kind} for id_, _, kind, _, _ in INFOSEEK]
    jsonl(folder / "infoseek_val_qtype.jsonl", types)
    linked = [{"data_id": id_, "entity_id": "Q90", "entity_text": "x"} for id_, *_ in INFOSEEK]
    jsonl(folder / "infoseek_val_withkb.jsonl", linked)
    return folder


EVQA_ROWS: list[dict[str, str]] = [
    {
        "question": "How many eggs does this bird lay?",
        "answer": "3|three or four",
        "dataset_image_ids": "2412|99",
        "dataset_name": "inaturalist",
        "question_type": "templated",
        "wikipedia_url": "https://en.wikipedia.org/wiki/Page_0",
        "evidence_section_id": "2",
    },
    {
        "question": "Which animals live here?",
        "answer": "cat&&dog",
        "dataset_image_ids": "0abc12",
        "dataset_name": "landmarks",
        "question_type": "multi_answer",
        "wikipedia_url": "https://en.wikipedia.org/wiki/Page_1",
        "evidence_section_id": "",
    },
    {
        "question": "Which river flows through the city where this is?",
        "answer": "Seine",
        "dataset_image_ids": "0abc13",
        "dataset_name": "landmarks",
        "question_type": "2_hop",
        "wikipedia_url": "https://en.wikipedia.org/wiki/Page_1|https://en.wikipedia.org/wiki/Page_2",
        "evidence_section_id": "0|2",
    },
]


def evqa(path: Path, rows: Sequence[dict[str, str]] = EVQA_ROWS) -> Path:
    columns = [
        *("question", "answer", "dataset_image_ids", "dataset_name", "dataset_category_id"),
        *("question_type", "wikipedia_url", "wikipedia_title", "evidence", "evidence_section_id"),
        *("evidence_section_title", "encyclopedic_vqa_split", "question_original"),
        "wikipedia_url_used_in_train",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows({"encyclopedic_vqa_split": "test"} | row for row in rows)
    return path


INSTRUCTION = "Using the provided image, obtain documents that address the subsequent question: "

M2KR_ROWS: list[dict[str, Any]] = [
    {
        "pos_item_ids": ["WikiWeb_0"],
        "pos_item_contents": ["title: Thing 0 content: Thing 0 is the 0th thing."],
        "img_id": "EVQA_1",
        "img_path": "a.png",
        "image_id": "1",
        "question_id": "EVQA_1",
        "question": "What is this?",
        "instruction": INSTRUCTION,
        "answers": ["the 0th thing", ""],
        "gold_answer": "the 0th thing",
        "question_type": "automatic",
    },
    {
        "pos_item_ids": ["WikiWeb_3", "gone"],
        "pos_item_contents": ["x", "y"],
        "img_id": None,
        "img_path": None,
        "image_id": None,
        "question_id": "EVQA_2",
        "question": f"{INSTRUCTION}Which one?",
        "instruction": INSTRUCTION,
        "answers": ["3th"],
        "gold_answer": "3th",
        "question_type": "automatic",
    },
]


def m2kr(
    root: Path,
    config: str = "EVQA",
    splits: Sequence[str] = ("test",),
    rows: Sequence[dict[str, Any]] = M2KR_ROWS,
) -> Path:
    for split in splits:
        parquet(root / f"{config}_data" / f"{split}-00000-of-00001.parquet", rows, row_group=1)
    return root

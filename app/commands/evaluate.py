"""kbvqa evaluate: measure retrieval and answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.console import (
    CandidatesOption,
    CheckpointOption,
    IndexOption,
    directory,
    out,
    progress,
    settings_with,
)
from app.evaluation.record import (
    ANSWERS_NAME,
    CONDITIONS,
    RETRIEVAL_NAME,
    TABLE_NAME,
    Condition,
)
from app.settings import PREFIX, Settings

app = typer.Typer(help="Measure retrieval and answers.", no_args_is_help=True)


@app.command("run")
def evaluate_run(
    benchmark: Annotated[
        str,
        typer.Argument(
            help="demo, demo-hand, okvqa, infoseek, evqa, m2kr-okvqa, m2kr-wit, ..., or a file "
            "with rows of {id, image, question, answers, gold_passage_ids}; image may be left out."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--out", help="Where results are written.", callback=directory)
    ],
    split: Annotated[
        str,
        typer.Option(help="train, val, valid or test; not for a file. Default: that of papers."),
    ] = "",
    data: Annotated[
        Path | None, typer.Option(help="Its files. Default: its folder in KBVQA_DATA.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="The directory that pictures are relative to. Default: in KBVQA_DATA."),
    ] = None,
    stage: Annotated[str, typer.Option(help="Only this stage: retrieve, answer or score.")] = "",
    only_missing: Annotated[
        bool,
        typer.Option("--only-missing", help="Leave alone what failed before. Default: try again."),
    ] = False,
    retrieval_from: Annotated[
        Path | None, typer.Option(help="Take over what this earlier run retrieved.")
    ] = None,
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Retrieval alone.")] = False,
    no_retrieval: Annotated[
        bool, typer.Option("--no-retrieval", help="The generator alone: the baseline.")
    ] = False,
    also: Annotated[
        str,
        typer.Option(
            help="Answer also with: none (no passages), gold (the gold passages), distractors "
            "(another question's), several with commas between them, or all. The default "
            "reader reads passages alone: it refuses none, and all."
        ),
    ] = "",
    strategy: Annotated[
        str | None,
        typer.Option(help="ra-vqa, concat, critic, no-retrieval or extract. Default: as set."),
    ] = None,
    prompts: Annotated[
        str | None, typer.Option(help="few-shot or instruct. Default: as set.")
    ] = None,
    passages: Annotated[
        int | None, typer.Option(min=1, max=20, help="Passages read. Default: as set.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of an answer. Default: as set.")
    ] = None,
    extra_body: Annotated[
        str | None, typer.Option(help="JSON fields of every request, over those that are set.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Questions, and requests, on their way to a server at once.")
    ] = 64,
    depth: Annotated[
        int, typer.Option(min=1, max=500, help="Passages to find: recall is given up to here.")
    ] = 10,
    exact: Annotated[
        bool | None,
        typer.Option(
            "--exact/--two-stage",
            help="Score every passage, or only candidates; rows of the other search are then "
            "refused. Default: every one where the corpus fits into memory.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Questions encoded at once.")] = 16,
    question_types: Annotated[
        str, typer.Option(help="Only questions of these types, with commas between them.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many examples, evenly spread.")
    ] = None,
    image_cache: Annotated[
        Path | None,
        typer.Option(help="Keep resized pictures here, for later runs.", callback=directory),
    ] = None,
    all_pictures: Annotated[
        bool,
        typer.Option(
            "--all-pictures",
            help="evqa: each question about each of its pictures, as the official accuracy has it.",
        ),
    ] = False,
    bem: Annotated[
        Path | None,
        typer.Option(help="evqa: the directory of BEM, the official answer-equivalence model."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap intervals.")] = 0,
    candidates: CandidatesOption = None,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Measure recall, pseudo-recall and the benchmark's own answer scores, in three stages.

    Writes retrieval.jsonl, answers.jsonl and scores.jsonl as it goes, then results.json and
    table.md. Run again with the same --out, it goes on where it stopped and tries again what
    failed; ten failures in a row end it. With --bem added it scores again what was answered, and
    asks nothing again.

    \b
    kbvqa evaluate run okvqa --index gs112k --out runs/okvqa
    kbvqa evaluate run m2kr-evqa --index evqa --depth 100 --also none,gold --out runs/m2kr-evqa
    kbvqa evaluate run okvqa --passages 5 --retrieval-from runs/okvqa --out runs/okvqa-5
    kbvqa evaluate run examples.jsonl --images pictures --out runs/first --no-answer

    What the generator said is scored, withheld or not; "_shown" has what is withheld as wrong. An
    example without an answer counts as wrong; the mean over the answered stands beside it.
    """
    from app.evaluation.benchmarks.catalog import open_benchmark
    from app.evaluation.files.earlier import has_rows
    from app.evaluation.run import STAGES, Options, evaluate

    if stage and stage not in STAGES:
        raise typer.BadParameter(f"{stage!r} is no stage; choose from {', '.join(STAGES)}")
    made = any(has_rows(output / name) for name in (RETRIEVAL_NAME, ANSWERS_NAME))
    if stage == "score" and not made:
        raise typer.BadParameter(f"--stage score: {output} holds nothing that was answered")
    searched = no_retrieval or retrieval_from is not None or has_rows(output / RETRIEVAL_NAME)
    if stage == "answer" and not searched:
        raise typer.BadParameter(
            f"--stage answer: {output} holds nothing that was retrieved: run --stage retrieve, or "
            "name a run with --retrieval-from"
        )
    if candidates is not None and exact:
        raise typer.BadParameter("--candidates is of no use to --exact, which scores every passage")
    changes = {
        "prompt_style": _one_of(prompts, "--prompts", ("few-shot", "instruct")),
        "passages_in_prompt": passages,
        "generator_max_tokens": tokens,
        "generator_extra_body": _json_object(extra_body, "--extra-body"),
        "generator_concurrency": concurrency,
    }
    settings = settings_with(index, checkpoint, strategy, candidates).model_copy(
        update={name: value for name, value in changes.items() if value is not None}
    )
    writing = {"--tokens": tokens, "--extra-body": extra_body, "--prompts": prompts}
    _require_of_use(settings, writing)
    asked, pictures = open_benchmark(
        benchmark,
        split,
        settings.data_directory,
        data=data,
        images=images,
        limit=limit,
        all_pictures=all_pictures,
        bem=bem,
        question_types=_listed(question_types),
    )
    answer = not no_answer and asked.answer_scores is not None
    options = Options(
        stages=STAGES if not stage else tuple(name for name in STAGES if name == stage),
        conditions=_conditions(answer, not no_retrieval, also),
        depth=depth,
        batch=batch,
        concurrency=concurrency,
        only_missing=only_missing,
        seed=seed,
        search=None if exact is None else "exact" if exact else "two-stage",
    )
    if retrieval_from is not None and not options.retrieval:
        raise typer.BadParameter("--retrieval-from is of no use to --no-retrieval")
    if image_cache is not None and answer:
        raise typer.BadParameter("--image-cache needs --no-answer: a generator may read pictures")
    from app.components import open_pipeline
    from corpus.pictures.store import ImageCache

    with progress() as (say, advance):
        pipeline = None
        if options.stages != ("score",):
            pipeline = open_pipeline(
                settings,
                say,
                retrieval=options.retrieval,
                answer=answer and stage != "retrieve",
                exact=exact is not False,
                mode="exact" if exact else "two-stage",
            )
        cache = None
        if image_cache is not None and pipeline is not None:
            processor = pipeline.encoder.checkpoint.image_processor
            cache = ImageCache(image_cache, repr(processor), processor.prepare)
        results = evaluate(
            pipeline, asked, pictures, output, options,
            cache=cache, retrieval_from=retrieval_from, say=say, tell=advance,
        )  # fmt: skip
    if results is not None:
        text = (output / TABLE_NAME).read_text(encoding="utf-8")
        out.print(text, highlight=False, markup=False, soft_wrap=True)
    out.print(f"Written to {output}", soft_wrap=True)


def _conditions(answer: bool, retrieval: bool, also: str) -> tuple[Condition, ...]:
    """Return under which conditions is answered. Raises typer.BadParameter."""
    others = CONDITIONS[1:]
    wanted = others if also == "all" else _listed(also)
    if unknown := [name for name in wanted if name not in others]:
        raise typer.BadParameter(f"{unknown[0]!r} is nothing to answer with: {', '.join(others)}")
    if not retrieval:
        if not answer:
            raise typer.BadParameter(
                "--no-retrieval leaves nothing to measure: there are no answers"
            )
        if set(wanted) - {"none"}:
            raise typer.BadParameter("--also needs retrieval: leave out --no-retrieval")
        return ("none",)
    if not answer:
        if wanted:
            raise typer.BadParameter("--also needs answers: there are none to score")
        return ()
    return ("retrieved", *(name for name in others if name in wanted))


def _require_of_use(settings: Settings, given: Mapping[str, object]) -> None:
    """Raise typer.BadParameter where an option says how is written, and what answers only reads."""
    named = [option for option, value in given.items() if value is not None]
    if named and settings.extractive:
        raise typer.BadParameter(
            f"{named[0]} is of something that writes, and {PREFIX}GENERATOR_URL and "
            f"{PREFIX}READER name none: the reader points at words of the passages"
        )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for piece in text.split(",") if (part := piece.strip()))


def _one_of(value: str | None, option: str, known: tuple[str, ...]) -> str | None:
    if value is not None and value not in known:
        raise typer.BadParameter(f"{option} {value!r} is none of {', '.join(known)}")
    return value


def _json_object(text: str | None, option: str) -> dict[str, Any] | None:
    """Return what an option says as JSON. Raises typer.BadParameter where it is no object."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{option} is no JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option} must be a JSON object, not {text!r:.60}")
    if own := {"model", "messages", "prompt", "stream", "n"}.intersection(value):
        raise typer.BadParameter(f"{option} has {min(own)!r}, which every question sets itself")
    return value


@app.command("demo")
def evaluate_demo_command(
    output: Annotated[
        Path, typer.Option("--out", help="Where results are written.", callback=directory)
    ] = Path("runs/evaluate-demo"),
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Retrieval alone.")] = False,
    checkpoint: CheckpointOption = None,
) -> None:
    """Measure the checkpoint on the demo benchmark: pictures of a vendor never trained on.

    \b
    kbvqa evaluate demo --out runs/evaluate-demo

    Retrieval by kind of picture, the same questions without pictures, and short answers
    with and without retrieval. Writes report.md and calibration.json beside the rows.
    """
    from app.components import open_pipeline
    from app.evaluation.demo import calibrate, evaluate_demo

    settings = settings_with(None, checkpoint)
    with progress() as (say, advance):
        pipeline = open_pipeline(settings, say, answer=not no_answer, exact=True)
        evaluate_demo(pipeline, output, say, advance, answer=not no_answer)
    # What is copied into the checkpoint keeps what was not fitted here.
    weight = pipeline.encoder.checkpoint.picture_weight
    calibration = {**calibrate(output), "picture_weight": weight}
    text = json.dumps(calibration, indent=2) + "\n"
    (output / "calibration.json").write_text(text, encoding="utf-8")
    out.print((output / "report.md").read_text(encoding="utf-8"), highlight=False, soft_wrap=True)
    out.print(f"Not sure below {calibration['unsure_below']}: {text}", highlight=False)


@app.command("answers")
def evaluate_answers_command(
    output: Annotated[
        Path, typer.Option("--out", help="Where results are written.", callback=directory)
    ] = Path("runs/evaluate-answers"),
    calibrating: Annotated[
        int, typer.Option(min=10, help="Questions on flags to calibrate on.")
    ] = 120,
    tested: Annotated[
        int, typer.Option(min=1, help="And to test on, with and without their passages.")
    ] = 121,
    things: Annotated[
        int,
        typer.Option(min=1, help="Questions on things to calibrate on; as many to test on."),
    ] = 120,
    attacked: Annotated[
        int, typer.Option(min=1, help="Questions on flags with each attack.")
    ] = 121,
    others: Annotated[
        int, typer.Option(min=1, help="Of each set, for strategies other than the one set.")
    ] = 121,
    critic: Annotated[int, typer.Option(min=1, help="Of each set, for the critic.")] = 40,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Compare the strategies: answers, confidence, unanswerable questions, attacks.

    They are asked "mini": questions with short answers about flags and things of the demo
    corpus, on entities and in wordings that no reader was trained on.

    \b
    kbvqa evaluate answers --out runs/answers
    kbvqa evaluate answers --out runs/answers-short --calibrating 40 --tested 60 --things 30

    The strategy that is set (KBVQA_STRATEGY) is calibrated; the others are compared with it.
    What calibrates and what tests are different entities. Writes report.md, and calibration.json
    to set as KBVQA_CALIBRATION. Interrupted, the same command goes on where it stopped.
    """
    from app.components import open_pipeline
    from app.evaluation.strategies.comparison import compare
    from app.evaluation.strategies.sets import Sizes

    settings = settings_with(index, checkpoint)
    sizes = Sizes(calibrating, tested, tested, attacked, things, others=others, critic=critic)
    with progress() as (say, advance):
        text = compare(open_pipeline(settings, say), output, sizes, say, advance)
    out.print(text, highlight=False, soft_wrap=True)

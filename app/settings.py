"""Deployment facts, read once from KBVQA_* environment variables.

A key may be in a file instead, which KBVQA_..._FILE names: KBVQA_API_KEYS_FILE=/run/secrets/keys.
"""

import os
import re
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from app.errors import InvalidSettings
from app.machine import network
from app.machine.keys import key_in_file, keys_in, require_safe
from app.machine.logs import LogFormat, LogLevel
from corpus.home import home_directory
from retriever.engines.connection import QdrantConnection, is_url

PREFIX = "KBVQA_"
MINI = "kbvqa-mini"
NO_PICTURES = Path("none")

# More never compute faster; tens of thousands crash the library that starts them.
_THREADS_PER_CORE = 4

# As in generator.answers.answer, which is not imported: --help is instant.
Strategy = Literal["extract", "concat", "ra-vqa", "critic", "no-retrieval"]


class Settings(BaseSettings):
    """What differs between deployments. Each field is an environment variable: KBVQA_ and its name.

    Attributes:
        home: where built models and indexes are kept.
        data: where downloaded datasets lie, a folder each; None for "data" under `home`.
        checkpoint: "kbvqa-mini", a checkpoint directory, or a hub repository id.
        revision: the hub revision; None for the newest.
        index: an index directory, or http://host:6333/NAME on a Qdrant server; None for the
            demo's, under `home`.
        qdrant_api_key: sent to the Qdrant server; None sends none. A read-only key will do for
            everything but building.
        qdrant_ca_file: certificates (PEM) to trust instead of the public authorities, where the
            server's URL is https:// and its certificate one's own.
        qdrant_grpc_port: of the server's gRPC; None for the port of the URL plus one.
        qdrant_timeout_seconds: for one request.
        qdrant_build_wait_seconds: how long a build waits for a server that is away; searches give
            up after some tries.
        qdrant_work_seconds: how long the server may take for a snapshot, or stand still while it
            optimises, before a build gives up.
        candidates: passages among which a search looks for those that it ranks by all their rows;
            None for as many as the index has learned to take, 400 where it has learned nothing:
            docs/guide/index.md.
        recall_checks: the share of the time that `kbvqa web` and `kbvqa mcp` may spend, in a
            process of its own at the lowest priority, on comparing queries with the exact search,
            where a large index has learned its candidates: a warning says when fewer of the ten
            best are found than it promises, and so does `kbvqa doctor`. 0 compares none.
        pictures: a file of `kbvqa index pictures`: pictures of the entities that the passages are
            about, which have a say in what is found; "none" for passages alone; None for the
            drawings that come along, where kbvqa-mini searches the demo's passages.
        reader: what reads the passages inside this process: None for the extractive reader that
            comes along, reader.safetensors of `kbvqa train reader` for another one, or the
            directory of a causal model, such as `kbvqa train generator --merge` wrote.
        generator_url: an OpenAI-compatible server, for example http://127.0.0.1:8000/v1;
            None for what reads inside this process.
        generator_model: the name under which the server serves its model.
        generator_api_key: sent to the server; None sends none.
        generator_api: "chat" sends messages and the picture, "completions" plain text.
        generator_timeout_seconds: for one request and its retries, once it has its turn.
        generator_retries: further tries when the server is busy or not reached.
        generator_concurrency: requests to the server at once; others wait for their turn.
        generator_image_pixels: a larger picture is scaled down to this before it is sent.
        generator_max_tokens: for one answer. A model that thinks first needs many more than the
            default, for its thoughts count.
        generator_extra_body: a JSON object of fields that go into every request to the server,
            over those that are sent anyway: {"chat_template_kwargs": {"enable_thinking": false}}
            tells many models not to think. No key belongs in it: records of evaluations have it.
        strategy: how passages become an answer: "extract" points at words of them, which is what
            the extractive reader does; of models that write, "ra-vqa" reads them one by one
            and chooses, "critic" first leaves out the irrelevant, "concat" reads them
            together, "no-retrieval" reads none. None for "extract" or "ra-vqa".
        prompt_style: "few-shot" for small and base models, "instruct" for chat models; None
            takes "instruct" for a chat server, "few-shot" otherwise.
        calibration: a file of fitted confidences; None for the one that comes along.
        unsure_below: answers less probable than this are marked as unsure.
        withhold_below: answers less probable than this are not shown; at most `unsure_below`.
        threads: of one computation on the CPU; None for as many as cores are free at the start,
            of this process's share of them; at most four for each core of the machine.
            OMP_NUM_THREADS is second to it.
        log_format: of the log on standard error: "text" for people, "json" for one JSON object a
            line.
        log_level: the least that is logged: "info" adds a line for each step of each question and
            each request, without what was asked; "debug" may show that too.
        host: the address the page is served on.
        port: its port.
        allowed_hosts: names by which the page and the API may be asked, beside addresses and
            localhost, with commas between them: what stands in the links of its users, such as
            "kbvqa.example.org"; "*.example.org" is all below it, "*" any name; others are refused;
            None for no name where `host` is of this machine alone, for any name elsewhere.
        root_path: where a proxy in front shows the page, such as "/kbvqa"; None for at its root.
        top_k: passages shown.
        passages_in_prompt: passages that are read, the best first; None for 5 by the extractive
            reader, 3 by a generator.
        passage_tokens: for all passages of a prompt; longer ones are cut.
        max_question_characters: longer questions are refused.
        concurrent_questions: questions of the page and the API that are answered at the same time;
            the others wait in line. Two keep a CPU busy: there more of them take longer each. Raise
            it to 8 or more on a GPU, which encodes in one batch what comes together, and where a
            server answers, for which this process only waits. There `generator_concurrency` must
            be as many times higher as the strategy asks the server for one question: for "ra-vqa"
            that is once for each passage.
        answer_seconds: that a question of the page or the API may take, the wait for its turn
            included. Then the work on it is stopped, and the API answers 504.
        repeated_answers: results that are kept in memory, to be given again at once where the same
            is asked of the same picture, with the same options, of the same index, by the same
            key. A result that was kept says so, and so tells who asks that somebody asked it
            before. 0 keeps none.
        stop_seconds: that answers under way may take when the process is told to stop (SIGTERM,
            Ctrl-C); new questions are refused meanwhile. Told twice, it waits for none.
        api_keys: keys of at least 16 characters, with commas or line ends between them. The API
            takes requests with one of them alone, and the page asks for one as its password;
            `kbvqa ask --server` sends the first. None for a page and an API that are open to
            whoever reaches them.
        api_requests_per_minute: of one key, or of one address where there are no keys, to the API;
            further ones are refused for a while.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    home: Path = Field(default_factory=home_directory)
    data: Path | None = None
    checkpoint: str = MINI
    revision: str | None = None
    index: str | None = None
    qdrant_api_key: SecretStr | None = None
    qdrant_ca_file: Path | None = None
    qdrant_grpc_port: int | None = Field(default=None, ge=1, le=65535)
    qdrant_timeout_seconds: int = Field(default=60, ge=1)
    qdrant_build_wait_seconds: int = Field(default=300, ge=0)
    qdrant_work_seconds: int = Field(default=3600, ge=1)
    candidates: int | None = Field(default=None, ge=1, le=10**9)
    recall_checks: float = Field(default=0.01, ge=0, le=1)
    pictures: Path | None = None
    reader: str | None = None
    generator_url: str | None = None
    generator_model: str | None = None
    generator_api_key: SecretStr | None = None
    generator_api: Literal["chat", "completions"] = "chat"
    generator_timeout_seconds: float = Field(default=60.0, gt=0)
    generator_retries: int = Field(default=2, ge=0, le=10)
    generator_concurrency: int = Field(default=8, ge=1)
    generator_image_pixels: int = Field(default=802_816, ge=1)
    generator_max_tokens: int = Field(default=48, ge=1)
    generator_extra_body: dict[str, Any] = Field(default_factory=dict)
    strategy: Strategy | None = None
    prompt_style: Literal["few-shot", "instruct"] | None = None
    calibration: Path | None = None
    unsure_below: float = Field(default=0.6, ge=0, le=1)
    withhold_below: float = Field(default=0.3, ge=0, le=1)
    threads: int | None = Field(default=None, ge=1)
    log_format: LogFormat = "text"
    log_level: LogLevel = "warning"
    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=1, le=65535)
    allowed_hosts: str | None = None
    root_path: str | None = Field(default=None, pattern=r"^(/|https?://[^/\s]+/?)[^\s?#]*$")
    top_k: int = Field(default=5, ge=1, le=20)  # MAX_TOP_K of app.asking
    passages_in_prompt: int | None = Field(default=None, ge=1, le=20)
    passage_tokens: int = Field(default=480, ge=16)
    max_question_characters: int = Field(default=500, ge=1)
    concurrent_questions: int = Field(default=2, ge=1, le=256)
    answer_seconds: float = Field(default=300.0, gt=0)
    repeated_answers: int = Field(default=0, ge=0)
    stop_seconds: float = Field(default=20.0, ge=0)
    api_keys: SecretStr | None = None
    api_requests_per_minute: int = Field(default=60, ge=1)

    @field_validator(
        *("home", "data", "checkpoint", "index", "pictures", "qdrant_ca_file", "reader"),
        "calibration",
        mode="before",
    )
    @classmethod
    def _expanded(cls, value: object) -> object:
        """Return a path with its leading "~" expanded, as a shell would have."""
        if not isinstance(value, str):
            return value
        path = os.path.expanduser(value)  # noqa: PTH111
        if path.startswith("~"):
            raise ValueError(f"there is no such user's home: give the whole path, or ./{value}")
        return path

    @field_validator("reader")
    @classmethod
    def _reader_that_is_there(cls, value: str | None) -> str | None:
        """Return the reader, unless it is the model that came along until it was found useless."""
        if value == "smollm2":
            raise ValueError(
                "SmolLM2 no longer comes along. Unset it for the extractive reader, which answers "
                "more and is faster; or serve the model, such as by vLLM, and set "
                f"{PREFIX}GENERATOR_URL; or give its directory"
            )
        return value

    @field_validator("api_keys")
    @classmethod
    def _keys_that_protect(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            require_safe(keys_in(value.get_secret_value()))
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _names_of_hosts(cls, value: str | None) -> str | None:
        network.host_names(value or "")
        return value

    @field_validator("qdrant_api_key")
    @classmethod
    def _key_for_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        """Return the key, unless no header carries it: the client's error would show it."""
        if value is not None and re.search(r"[^ -~]", value.get_secret_value()):
            raise ValueError("it has characters that a header cannot carry: set it on one line")
        return value

    @field_validator("index", "generator_url")
    @classmethod
    def _address_without_a_key(cls, value: str | None, info: Any) -> str | None:
        network.require_no_user(f"{PREFIX}{info.field_name}".upper(), value or "")
        return value

    @field_validator("threads")
    @classmethod
    def _threads_that_can_start(cls, value: int | None) -> int | None:
        """Return the number of threads, unless so many would only wait, or crash OpenMP."""
        machine = os.cpu_count() or 1
        if value is not None and value > _THREADS_PER_CORE * machine:
            raise ValueError(
                f"{value:,} threads are too many for the {machine:,} core{'s' * (machine != 1)} of "
                f"this machine: set at most {_THREADS_PER_CORE * machine:,}, or unset it, which "
                "takes as many as are free"
            )
        return value

    @model_validator(mode="after")
    def _thresholds_agree(self) -> Self:
        if self.withhold_below > self.unsure_below:
            raise ValueError(
                f"{PREFIX}WITHHOLD_BELOW is {self.withhold_below:g}, more than "
                f"{PREFIX}UNSURE_BELOW, {self.unsure_below:g}: no answer would ever be marked as "
                "unsure. Lower the first, or raise the second"
            )
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the API and the page; () where both are open."""
        return keys_in(self.api_keys.get_secret_value()) if self.api_keys else ()

    @property
    def host_names(self) -> tuple[str, ...]:
        """Return the names by which the page may be asked, beside localhost; ("*",) for any."""
        if self.allowed_hosts is None:
            return () if network.is_here(self.host.strip("[]")) else ("*",)
        return network.host_names(self.allowed_hosts)

    @property
    def data_directory(self) -> Path:
        """Return where datasets lie."""
        return self.data or self.home / "data"

    @property
    def feedback_path(self) -> Path:
        """Return the file in which what users say of answers is kept."""
        return self.home / "feedback.sqlite3"

    @property
    def extractive(self) -> bool:
        """Return whether the extractive reader answers."""
        own = self.reader is None or self.reader.endswith(".safetensors")
        return self.generator_url is None and own

    @property
    def index_location(self) -> Path | str:
        """Return the index directory or URL, the demo's unless another is set.

        Raises:
            InvalidSettings: it is a URL, but not of a collection or with a password; or begins
                with the home of a user who has none.
        """
        if self.index is None:
            return self.home / "index" / "demo"
        if "://" not in self.index:
            try:
                return Path(self.index).expanduser()  # as no shell does in --index=~/x
            except RuntimeError as exc:
                raise InvalidSettings(f"the index {self.index!r}: {exc}") from exc
        network.require_no_user("--index", self.index)
        base, _, name = self.index.rstrip("/").rpartition("/")
        if not is_url(self.index) or not name or not urlsplit(base).netloc:
            raise InvalidSettings(
                f"{self.index!r} names no index: give a directory, or http://host:6333/NAME (or "
                "https://) for a collection on a Qdrant server"
            )
        return self.index

    @property
    def searched_index(self) -> Path | str:
        """Return the index that is opened, which has to be there if it is the demo's.

        Raises:
            InvalidSettings: no index is set, and the demo's is not built; or as `index_location`.
        """
        location = self.index_location
        if self.index is None and not Path(location).exists():
            raise InvalidSettings(
                f"there is no index at {location}: run `kbvqa setup`, which builds the demo's, or "
                f"name your own with --index or {PREFIX}INDEX; `kbvqa index build` makes one"
            )
        return location

    @property
    def connection(self) -> QdrantConnection:
        """Return how a Qdrant server is reached.

        Raises:
            InvalidSettings: through a proxy that cannot be used; see app.machine.network.
        """
        if self.index and is_url(self.index):
            network.prepare(self.index)
        key = self.qdrant_api_key
        return QdrantConnection(
            api_key=key.get_secret_value() if key else None,
            ca_file=self.qdrant_ca_file,
            grpc_port=self.qdrant_grpc_port,
            timeout_seconds=self.qdrant_timeout_seconds,
            build_wait_seconds=self.qdrant_build_wait_seconds,
            work_seconds=self.qdrant_work_seconds,
        )


def secret_fields() -> tuple[str, ...]:
    """Return the names of the settings that are keys."""
    fields = Settings.model_fields.items()
    return tuple(name for name, field in fields if "SecretStr" in str(field.annotation))


def _problem(error: Any) -> str:
    """Return what pydantic says of one value, by its variable; of a key not the value."""
    said = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:  # of several values together
        return said
    field = str(error["loc"][0])
    given = "" if field in secret_fields() else f" (given {error['input']!r})"
    return f"{PREFIX}{field}".upper() + f": {said}{given}"


def load_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        InvalidSettings: a KBVQA_* variable that does not exist, or a value that cannot be used.
    """
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    files = {f"{PREFIX}{name}_FILE".upper(): name for name in secret_fields()}
    environment = {name.upper(): value for name, value in os.environ.items()}  # case says nothing
    # KBVQA_TEST_* belongs to the test suite.
    ours = {name for name in environment if re.match(f"{PREFIX}(?!TEST_)", name)}
    if unknown := sorted(ours - known - files.keys()):
        raise InvalidSettings(
            f"unknown environment variable {unknown[0]}. Known are: "
            f"{', '.join(sorted(known | files.keys()))}"
        )
    found = {name: key_in_file(variable, environment) for variable, name in files.items()}
    keys: dict[str, Any] = {name: SecretStr(key) for name, key in found.items() if key}
    try:
        settings = Settings(**keys)
    except SettingsError as exc:
        raise InvalidSettings(
            f"{PREFIX}GENERATOR_EXTRA_BODY is no JSON object: {exc.__cause__ or exc}. Give one "
            'such as {"chat_template_kwargs": {"enable_thinking": false}}.'
        ) from exc
    except ValidationError as exc:
        raise InvalidSettings("; ".join(map(_problem, exc.errors()))) from exc
    if settings.generator_url and not settings.generator_model:
        raise InvalidSettings(
            f"{PREFIX}GENERATOR_URL is set but {PREFIX}GENERATOR_MODEL is not: "
            "give the name under which the server serves its model"
        )
    own = {"model", "messages", "prompt", "stream", "n"}.intersection(settings.generator_extra_body)
    if own:
        raise InvalidSettings(
            f"{PREFIX}GENERATOR_EXTRA_BODY has {min(own)!r}, which every question sets itself"
        )
    return settings

"""Deployment facts, read once from KBVQA_* environment variables."""

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from app import network
from app.errors import InvalidSettings
from corpus.home import home_directory
from retriever.index_settings import Connection, is_url

PREFIX = "KBVQA_"
MINI = "kbvqa-mini"

# As in generator.strategies, which is not imported: --help is instant.
Strategy = Literal["extract", "concat", "ra-vqa", "critic", "no-retrieval"]


def file_in_the_way(directory: Path) -> Path | None:
    """Return the file, if there is one, where a directory should be: it, or one above it."""
    return next((path for path in (directory, *directory.parents) if path.is_file()), None)


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
        qdrant_grpc_port: None for the port of the URL plus one.
        qdrant_timeout_seconds: for one request.
        qdrant_build_wait_seconds: how long a build waits for a server that is away; searches give
            up after some tries.
        qdrant_work_seconds: how long the server may take for a snapshot, or stand still while it
            optimises, before a build gives up.
        candidates: passages that a search ranks by all their rows; more find more of the best in
            a large corpus: docs/index.md.
        reader: what reads the passages inside this process: None for the extractive reader that
            comes along, reader.safetensors of `kbvqa train reader` for another one,
            "smollm2" for SmolLM2-135M, or the directory of a causal model, such as one that
            `kbvqa train generator --merge` wrote.
        generator_url: an OpenAI-compatible server, for example http://127.0.0.1:8000/v1;
            None for what reads inside this process.
        generator_model: the name under which the server serves its model.
        generator_api_key: sent to the server; None sends none.
        generator_api: "chat" sends messages and the picture, "completions" plain text.
        generator_timeout_seconds: for one whole answer.
        generator_retries: further tries when the server is busy or not reached.
        generator_concurrency: requests to the server at once.
        generator_image_pixels: a larger picture is scaled down to this before it is sent.
        generator_max_tokens: for one answer. A model that thinks first needs many more than the
            default, for its thoughts count.
        generator_extra_body: a JSON object of fields that go into every request to the server,
            over those that are sent anyway: {"chat_template_kwargs": {"enable_thinking": false}}
            tells many models not to think.
        strategy: how passages become an answer: "extract" points at words of them, which is what
            the extractive reader does; of models that write, "ra-vqa" reads them one by one
            and chooses, "critic" first leaves out the irrelevant, "concat" reads them
            together, "no-retrieval" reads none. None for "extract" or "ra-vqa".
        prompt_style: "few-shot" for small and base models, "instruct" for chat models; None
            takes "instruct" for a chat server, "few-shot" otherwise.
        calibration: a file of fitted confidences; None for the one that comes along.
        unsure_below: answers less probable than this are marked as unsure.
        withhold_below: answers less probable than this are not shown.
        host: the address the page is served on.
        port: its port.
        root_path: where a proxy in front shows the page, such as "/kbvqa"; None for at its root.
        top_k: passages shown.
        passages_in_prompt: passages that are read, the best first; None for 5 by the extractive
            reader, 3 by a generator.
        passage_tokens: for all passages of a prompt; longer ones are cut.
        max_question_characters: longer questions are refused.
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
    candidates: int = Field(default=400, ge=1)
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
    unsure_below: float = Field(default=0.5, ge=0, le=1)
    withhold_below: float = Field(default=0.2, ge=0, le=1)
    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=1, le=65535)
    root_path: str | None = Field(default=None, pattern=r"^(/|https?://[^/\s]+/?)[^\s?#]*$")
    top_k: int = Field(default=5, ge=1, le=100)
    passages_in_prompt: int | None = Field(default=None, ge=1, le=20)
    passage_tokens: int = Field(default=480, ge=16)
    max_question_characters: int = Field(default=500, ge=1)

    @field_validator(
        *("home", "data", "checkpoint", "index", "qdrant_ca_file", "reader", "calibration"),
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

    @property
    def data_directory(self) -> Path:
        """Return where datasets lie."""
        return self.data or self.home / "data"

    @property
    def extractive(self) -> bool:
        """Return whether the extractive reader answers."""
        own = self.reader is None or self.reader.endswith(".safetensors")
        return self.generator_url is None and own

    @property
    def index_location(self) -> Path | str:
        """Return the index directory or URL, the demo's unless another is set.

        Raises:
            InvalidSettings: it is a URL, but not of a collection; or begins with the home of a
                user who has none.
        """
        if self.index is None:
            return self.home / "index" / "demo"
        if "://" not in self.index:
            try:
                return Path(self.index).expanduser()  # as no shell does in --index=~/x
            except RuntimeError as exc:
                raise InvalidSettings(f"the index {self.index!r}: {exc}") from exc
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
    def connection(self) -> Connection:
        """Return how a Qdrant server is reached.

        Raises:
            InvalidSettings: through a proxy that cannot be used; see app.network.
        """
        if self.index and is_url(self.index):
            network.prepare(self.index)
        key = self.qdrant_api_key
        return Connection(
            api_key=key.get_secret_value() if key else None,
            ca_file=self.qdrant_ca_file,
            grpc_port=self.qdrant_grpc_port,
            timeout_seconds=self.qdrant_timeout_seconds,
            build_wait_seconds=self.qdrant_build_wait_seconds,
            work_seconds=self.qdrant_work_seconds,
        )


def load_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        InvalidSettings: a KBVQA_* variable that does not exist, or a value that cannot be used.
    """
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    # KBVQA_TEST_* belongs to the test suite.
    unknown = sorted(
        name
        for name in os.environ
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not name.upper().startswith(f"{PREFIX}TEST_")
    )
    if unknown:
        raise InvalidSettings(
            f"unknown environment variable {unknown[0]}. Known are: {', '.join(sorted(known))}"
        )
    try:
        settings = Settings()
    except SettingsError as exc:
        raise InvalidSettings(
            f"{PREFIX}GENERATOR_EXTRA_BODY is no JSON object: {exc.__cause__ or exc}. Give one "
            'such as {"chat_template_kwargs": {"enable_thinking": false}}.'
        ) from exc
    except ValidationError as exc:
        problems = "; ".join(
            f"{PREFIX}{'_'.join(map(str, e['loc'])).upper()}: {e['msg']} (given {e['input']!r})"
            for e in exc.errors()
        )
        raise InvalidSettings(problems) from exc
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

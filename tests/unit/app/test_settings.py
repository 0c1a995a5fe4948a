from pathlib import Path

import pytest

from app.errors import InvalidSettings
from app.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("KBVQA_"):
            monkeypatch.delenv(name)


def test_defaults_need_no_environment(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = load_settings()
    assert settings.checkpoint == "kbvqa-mini"
    assert settings.index_location == tmp_path / "kbvqa" / "index" / "demo"


def test_environment_variables_are_read(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_PORT", "8080")
    monkeypatch.setenv("KBVQA_INDEX", "/data/index")
    settings = load_settings()
    assert settings.port == 8080
    assert settings.index_location == Path("/data/index")


PATHS = ("home", "data", "checkpoint", "index", "qdrant_ca_file", "reader", "calibration")


@pytest.mark.parametrize("name", PATHS)
def test_a_tilde_that_no_shell_expanded(monkeypatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(f"KBVQA_{name.upper()}", "~/there")
    assert str(getattr(load_settings(), name)) == str(tmp_path / "there")
    monkeypatch.setenv(f"KBVQA_{name.upper()}", "/a/~/b")
    assert str(getattr(load_settings(), name)) == "/a/~/b"


@pytest.mark.parametrize("name", PATHS)
def test_the_home_of_nobody_is_refused(monkeypatch, name: str) -> None:
    monkeypatch.setenv(f"KBVQA_{name.upper()}", "~no-such-user/x")
    with pytest.raises(InvalidSettings, match=f"KBVQA_{name.upper()}.*no such user's home"):
        load_settings()


def test_every_path_of_the_settings_is_known_to_that_test() -> None:
    paths = {name for name, field in Settings.model_fields.items() if "Path" in str(field)}
    assert paths <= set(PATHS)


def test_the_demos_index_is_there_before_it_is_searched(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path))
    with pytest.raises(InvalidSettings, match="index/demo: run `kbvqa setup`"):
        load_settings().searched_index  # noqa: B018
    (tmp_path / "index" / "demo").mkdir(parents=True)
    assert load_settings().searched_index == tmp_path / "index" / "demo"
    monkeypatch.setenv("KBVQA_INDEX", str(tmp_path / "mine"))
    assert load_settings().searched_index == tmp_path / "mine"


def test_an_index_on_a_server_is_a_url(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_INDEX", "http://qdrant:6333/kbvqa")
    monkeypatch.setenv("KBVQA_QDRANT_API_KEY", "s3cret")
    monkeypatch.setenv("KBVQA_QDRANT_CA_FILE", "/etc/ca.pem")
    settings = load_settings()
    assert settings.index_location == "http://qdrant:6333/kbvqa"
    assert settings.connection.api_key == "s3cret"
    assert settings.connection.ca_file == Path("/etc/ca.pem")
    assert "s3cret" not in repr(settings) + repr(settings.connection)


def test_the_home_that_no_shell_put_in_is_put_in(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KBVQA_INDEX", "~/indexes/wiki")
    assert load_settings().index_location == tmp_path / "indexes" / "wiki"
    monkeypatch.setenv("KBVQA_INDEX", "~nobody-is-called-so/wiki")
    with pytest.raises(InvalidSettings, match="'~nobody-is-called-so/wiki'"):
        _ = load_settings().index_location
    monkeypatch.setenv("KBVQA_INDEX", "some~where/~")
    assert load_settings().index_location == Path("some~where/~")


def test_how_long_a_server_is_waited_for_can_be_set(monkeypatch) -> None:
    connection = load_settings().connection
    assert (connection.build_wait_seconds, connection.work_seconds) == (300, 3600)
    monkeypatch.setenv("KBVQA_QDRANT_BUILD_WAIT_SECONDS", "0")
    monkeypatch.setenv("KBVQA_QDRANT_WORK_SECONDS", "60")
    connection = load_settings().connection
    assert (connection.build_wait_seconds, connection.work_seconds) == (0, 60)


@pytest.mark.parametrize("url", ["http://qdrant:6333", "https://q/", "http:///zoo", "grpc://q/zoo"])
def test_a_url_that_names_no_index_is_refused(monkeypatch, url: str) -> None:
    monkeypatch.setenv("KBVQA_INDEX", url)
    with pytest.raises(InvalidSettings, match=r"names no index: .*http://host:6333/NAME"):
        _ = load_settings().index_location


def test_an_unknown_variable_is_an_error(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_PROT", "8080")
    with pytest.raises(InvalidSettings, match=r"KBVQA_PROT.*KBVQA_PORT"):
        load_settings()


def test_a_bad_value_names_the_variable(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_PORT", "http")
    with pytest.raises(InvalidSettings, match=r"KBVQA_PORT.*'http'"):
        load_settings()


def test_a_server_needs_a_model_name(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_GENERATOR_URL", "http://127.0.0.1:8000/v1")
    with pytest.raises(InvalidSettings, match="KBVQA_GENERATOR_MODEL"):
        load_settings()


def test_the_api_key_is_not_shown(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_GENERATOR_API_KEY", "s3cret")
    assert "s3cret" not in repr(load_settings())


def test_what_goes_into_every_request_is_a_json_object(monkeypatch) -> None:
    name = "KBVQA_GENERATOR_EXTRA_BODY"
    monkeypatch.setenv(name, '{"chat_template_kwargs": {"enable_thinking": false}}')
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    assert load_settings().generator_extra_body == off
    for wrong in ("enable_thinking=false", "[1]", "7", '{"messages": []}', '{"stream": false}'):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(InvalidSettings, match=name):
            load_settings()


@pytest.mark.parametrize("path", ["/kbvqa", "/a/b", "https://host.example/kbvqa"])
def test_a_path_of_a_proxy(path: str, monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_ROOT_PATH", path)
    assert load_settings().root_path == path


@pytest.mark.parametrize("path", ["kbvqa", "host/kbvqa", "/a b", "ftp://host"])
def test_what_is_no_path_is_refused(path: str, monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_ROOT_PATH", path)
    with pytest.raises(InvalidSettings, match="KBVQA_ROOT_PATH"):
        load_settings()


def test_an_index_server_behind_a_proxy_that_cannot_be_used_is_said(monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks4://p:1")
    assert load_settings().connection.timeout_seconds == 60
    monkeypatch.setenv("KBVQA_INDEX", "http://qdrant:6333/zoo")
    with pytest.raises(InvalidSettings, match="ALL_PROXY is 'socks4://p:1'"):
        _ = load_settings().connection

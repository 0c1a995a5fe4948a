from pathlib import Path

import pytest

from app.errors import InvalidSettings
from app.settings import Settings, load_settings, secret_fields
from corpus.errors import KbvqaError


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


@pytest.mark.parametrize(
    "name", ["https://a.example", "a.example:80", "a.example/b", "*example.org", "a.*.org", "-,,/"]
)
def test_what_is_no_name_of_a_host_is_refused(monkeypatch, name: str) -> None:
    monkeypatch.setenv("KBVQA_ALLOWED_HOSTS", f"b.example,{name}")
    with pytest.raises(InvalidSettings, match=r"KBVQA_ALLOWED_HOSTS: .*without https://"):
        load_settings()


PATHS = (
    *("home", "data", "checkpoint", "index", "pictures", "qdrant_ca_file", "reader"),
    "calibration",
)


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


def test_the_reader_that_no_longer_comes_along_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_READER", "smollm2")
    with pytest.raises(InvalidSettings, match=r"KBVQA_READER: .*Unset it.*KBVQA_GENERATOR_URL"):
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


@pytest.mark.parametrize("variable", ["KBVQA_INDEX", "KBVQA_GENERATOR_URL"])
@pytest.mark.parametrize("user", ["me:s3cret", "s3cret", ":s3cret", "s3[cret"])
def test_a_password_in_an_address_is_refused(monkeypatch, variable: str, user: str) -> None:
    monkeypatch.setenv("KBVQA_GENERATOR_MODEL", "model")
    monkeypatch.setenv(variable, f"https://{user}@host:6333/name")
    with pytest.raises(
        InvalidSettings, match=f"{variable} has a name .*QDRANT_API_KEY or"
    ) as refused:
        load_settings()
    assert "cret" not in str(refused.value)
    monkeypatch.delenv(variable)
    given = load_settings().model_copy(update={"index": f"https://{user}@host:6333/name"})
    with pytest.raises(InvalidSettings, match=r"--index has .*Leave it out") as refused:
        _ = given.index_location
    assert "cret" not in str(refused.value)
    monkeypatch.setenv(variable, "https://host:6333/a@b")
    assert load_settings()


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


def test_more_threads_than_a_machine_can_run_are_refused(monkeypatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setenv("KBVQA_THREADS", "8")
    assert load_settings().threads == 8
    monkeypatch.setenv("KBVQA_THREADS", "99999")
    with pytest.raises(
        InvalidSettings, match=r"^KBVQA_THREADS: 99,999 threads .* 2 cores .*: set at most 8, or"
    ):
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


def test_thresholds_that_contradict_each_other_are_refused(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_UNSURE_BELOW", "0.1")
    with pytest.raises(InvalidSettings, match=r"^KBVQA_WITHHOLD_BELOW is 0.3, more than"):
        load_settings()
    monkeypatch.setenv("KBVQA_WITHHOLD_BELOW", "0.1")
    assert load_settings().withhold_below == 0.1


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "KBVQA_HOME"])
def test_a_cache_in_the_home_of_nobody_is_named(monkeypatch, variable: str) -> None:
    monkeypatch.setenv(variable, "~no-such-user")
    with pytest.raises(KbvqaError, match=variable):
        load_settings()


KEYS = {"qdrant_api_key", "generator_api_key", "api_keys"}


def test_every_key_may_be_in_a_file(monkeypatch, tmp_path: Path) -> None:
    assert set(secret_fields()) == KEYS
    for name in KEYS:
        (tmp_path / name).write_text(f"the-secret-of-{name}\n", encoding="utf-8")
        monkeypatch.setenv(f"KBVQA_{name}_FILE".upper(), str(tmp_path / name))
    settings = load_settings()
    for name in KEYS:
        assert getattr(settings, name).get_secret_value() == f"the-secret-of-{name}"


def test_several_keys_stand_on_a_line_each(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a" * 20 + "\n" + "b" * 20 + "\n", encoding="utf-8")
    monkeypatch.setenv("KBVQA_API_KEYS_FILE", str(tmp_path / "keys"))
    assert load_settings().keys == ("a" * 20, "b" * 20)


def test_dev_null_is_no_key(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_API_KEYS_FILE", "/dev/null")
    monkeypatch.setenv("KBVQA_QDRANT_API_KEY_FILE", "/dev/null")
    monkeypatch.setenv("KBVQA_QDRANT_API_KEY", "from the environment")
    settings = load_settings()
    assert settings.keys == ()
    assert settings.connection.api_key == "from the environment"


@pytest.mark.parametrize("left", ["", "\n \n"])
def test_an_empty_file_opens_the_door_to_nobody(monkeypatch, tmp_path: Path, left: str) -> None:
    (tmp_path / "keys").write_text(left, encoding="utf-8")
    monkeypatch.setenv("KBVQA_API_KEYS_FILE", str(tmp_path / "keys"))
    with pytest.raises(InvalidSettings, match=r"KBVQA_API_KEYS_FILE names .*keys', which is empty"):
        load_settings()


def test_a_variable_in_small_letters_names_a_file_of_keys_too(monkeypatch, tmp_path: Path) -> None:
    # Passed over, it would leave the API open to everybody.
    (tmp_path / "keys").write_text("a" * 20, encoding="utf-8-sig")
    monkeypatch.setenv("kbvqa_api_keys_file", str(tmp_path / "keys"))
    assert load_settings().keys == ("a" * 20,)
    monkeypatch.setenv("kbvqa_api_keys", "b" * 20)
    with pytest.raises(InvalidSettings, match="both give a key"):
        load_settings()


@pytest.mark.parametrize("keys", [",", " ", ",\n,"])
def test_keys_of_which_there_is_none_do_not_open_the_api(monkeypatch, keys: str) -> None:
    monkeypatch.setenv("KBVQA_API_KEYS", keys)
    with pytest.raises(InvalidSettings, match="KBVQA_API_KEYS: there is no key in it"):
        load_settings()


@pytest.mark.parametrize("key", ["first-line\nsecond-line", "schl\u00fcssel"])
def test_a_key_that_no_header_carries_is_refused_and_not_shown(monkeypatch, key: str) -> None:
    monkeypatch.setenv("KBVQA_QDRANT_API_KEY", key)
    with pytest.raises(InvalidSettings, match="KBVQA_QDRANT_API_KEY: it has char") as caught:
        load_settings()
    assert "line\n" not in str(caught.value) and "schl" not in str(caught.value)


def test_a_file_of_a_key_that_cannot_be_read_is_an_error(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KBVQA_API_KEYS_FILE", str(tmp_path / "gone"))
    with pytest.raises(InvalidSettings, match=r"KBVQA_API_KEYS_FILE names .*gone"):
        load_settings()
    (tmp_path / "gone").write_bytes(b"\xff\xfe not text")
    with pytest.raises(InvalidSettings, match=r"must be a text file"):
        load_settings()


def test_two_places_for_one_key_are_an_error_that_does_not_show_it(monkeypatch, tmp_path) -> None:
    (tmp_path / "key").write_text("in-the-file-of-keys-1", encoding="utf-8")
    monkeypatch.setenv("KBVQA_API_KEYS_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("KBVQA_API_KEYS", "in-the-environment-2")
    with pytest.raises(InvalidSettings, match="both give a key: unset one") as caught:
        load_settings()
    assert "in-the" not in str(caught.value)


def test_only_keys_may_be_in_files(monkeypatch) -> None:
    monkeypatch.setenv("KBVQA_PORT_FILE", "/dev/null")
    with pytest.raises(InvalidSettings, match="unknown environment variable KBVQA_PORT_FILE"):
        load_settings()

"""What goes through a proxy, and what is said of one that cannot be used."""

import os

import httpx
import pytest

from app.errors import InvalidSettings
from app.machine import network

NAMES = [f"{s}_proxy" for s in ("http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, *map(str.upper, NAMES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        # Set first, so that what `prepare` writes is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1", "http://127.8.9.1:8000", "http://localhost/v1",
        "http://[::1]:8000/v1", "http://llm.localhost:1", "http://LOCALHOST",
    ],
)  # fmt: skip
def test_this_machine_is_reached_directly(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy:3128")
    assert network.proxy_for(url) is None
    network.prepare(url)
    with httpx.Client() as client:  # as qdrant-client and Gradio make it
        assert client._transport_for_url(httpx.URL(url)) is client._transport


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://llm:8000", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://llm:8000", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://llm", None),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "q:2"}, "http://llm", "http://q:2"),
        ({"https_proxy": "http://u:w@p:1"}, "https://llm", "http://u:w@p:1"),
        ({"ALL_PROXY": "http://a:1", "HTTP_PROXY": "http://p:1"}, "https://llm", "http://a:1"),
        ({"ALL_PROXY": "  "}, "https://llm", None),
    ],
)
def test_the_variables_name_the_proxy(variables, url, proxy, monkeypatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert network.proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("listed", "url", "direct"),
    [
        ("*", "http://llm.example.com", True),
        ("example.com", "http://llm.example.com", True),
        ("example.com", "http://example.com", True),
        (".example.com", "http://llm.example.com", True),
        ("EXAMPLE.com", "http://llm.Example.COM.", True),
        ("a.org, example.com ", "http://example.com", True),
        ("example.com:8000", "http://example.com:8000", True),
        ("example.com:8000", "http://example.com:80", False),
        ("ample.com", "http://example.com", False),
        ("example.com", "http://example.com.evil.org", False),
        ("10.0.0.0/8", "http://10.1.2.3:8000", True),
        ("10.0.0.0/8", "http://11.1.2.3:8000", False),
        ("10.1.2.3", "http://10.1.2.3", True),
    ],
)
def test_no_proxy_is_heard(listed: str, url: str, direct: bool, monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", listed)
    assert (network.proxy_for(url) is None) == direct
    if direct:  # then libraries that know less of NO_PROXY are told
        network.prepare(url)
        with httpx.Client() as client:
            assert client._transport_for_url(httpx.URL(url)) is client._transport


def test_what_was_listed_stays_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    network.prepare()
    network.prepare()
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    assert os.environ["NO_PROXY"] == "example.com,127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks4://p:1"), ("HTTP_PROXY", "http://"), ("https_proxy", "http://p:x"),
        ("HTTPS_PROXY", "ftp://p:21"), ("HTTP_PROXY", "http://[::1"), ("NO_PROXY", "fd00::/8"),
        ("NO_PROXY", "[::1]"), ("SSL_CERT_FILE", "/nowhere.pem"), ("SSL_CERT_DIR", "/nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(name: str, value: str, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    for look in (network.prepare, network.describe):
        with pytest.raises(InvalidSettings, match=name) as caught:
            look()
        assert value in str(caught.value)


def test_a_socks_proxy_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://someone:hunter2@p:1080")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidSettings, match=r"ALL_PROXY is 'socks5://p:1080'.*socksio"):
        network.proxy_for("https://llm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert network.proxy_for("https://llm") == "socks5://someone:hunter2@p:1080"
    assert "hunter2" not in network.describe()
    assert "ALL_PROXY=socks5://p:1080; directly: this machine" in network.describe()

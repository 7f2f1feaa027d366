"""Outgoing HTTP: never into the private network, within a time and a size, no redirects."""

import pytest
import requests

from incidents.safe_http import Refused, Unreachable, guarded, is_allowed, request
from tests.web_receiver import Reply, receiver

LOOPBACK = ["127.0.0.0/8", "::1/128"]


@pytest.fixture
def server():
    with receiver() as running:
        yield running


@pytest.fixture
def loopback_allowed(settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = LOOPBACK


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
def test_private_addresses_are_refused_however_they_are_written(address):
    assert not is_allowed(address)


def test_public_addresses_and_listed_networks_are_allowed(settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = ["10.1.0.0/16"]
    assert is_allowed("93.184.216.34")
    assert is_allowed("2606:2800:220:1::1")
    assert is_allowed("10.1.2.3")
    assert not is_allowed("10.2.0.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_name_of_the_own_machine_is_refused_and_nothing_arrives(server, host):
    with pytest.raises((Refused, Unreachable)):
        request("POST", f"http://{host}:{server.server_port}/", body=b"secret")
    assert server.received == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.example/", "//a.example", "http://", "http://u:p@a/x", ""]
)
def test_what_is_no_address_for_http_is_refused(url):
    with pytest.raises(Refused):
        request("GET", url)


def test_an_answer_comes_back_with_status_headers_and_body(server, loopback_allowed):
    server.reply = Reply(429, {"Retry-After": "30"}, b"slow down")
    answer = request("POST", f"{server.url}/hook", headers={"X-One": "1"}, body=b"{}")
    assert (answer.status, answer.headers["retry-after"], answer.body, answer.whole) == (429, "30", b"slow down", True)
    assert (server.received[0].path, server.received[0].headers["x-one"], server.received[0].body) == (
        "/hook",
        "1",
        b"{}",
    )


def test_a_redirect_is_not_followed(server, loopback_allowed):
    server.reply = Reply(302, {"Location": f"{server.url}/elsewhere"})
    assert request("GET", f"{server.url}/here").status == 302
    assert [one.path for one in server.received] == ["/here"]


def test_a_server_that_hangs_or_drips_is_given_up_in_time(server, loopback_allowed):
    server.reply = Reply(hangs=30)
    with pytest.raises(Unreachable):
        request("GET", server.url, seconds=0.4)
    server.reply = Reply(body=b"x" * 1000, drips=0.1)
    with pytest.raises(Unreachable, match=r"0\.4 s"):
        request("GET", server.url, seconds=0.4)


def test_a_huge_answer_is_cut(server, loopback_allowed):
    server.reply = Reply(body=b"x" * 100_000)
    answer = request("GET", server.url, most_bytes=1000)
    assert (len(answer.body), answer.whole) == (1000, False)


def test_whatever_another_library_connects_to_is_held_to_the_same_rule(server):
    with pytest.raises(Refused, match="private"), guarded(5):
        requests.post(server.url, timeout=2)
    assert server.received == []
    requests.post(server.url, timeout=2)  # outside of it nothing is held
    assert len(server.received) == 1


def test_nobody_listening_is_said_without_the_address(loopback_allowed):
    with pytest.raises(Unreachable) as caught:
        request("GET", "http://127.0.0.1:1/token-in-the-path")
    assert "token" not in str(caught.value)

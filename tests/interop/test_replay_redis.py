"""The example of a replay store in Redis, against a Redis server of the test's own."""

from __future__ import annotations

import importlib.util
import secrets
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from counterfoil.schemas import ReplayUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.redis

EXAMPLE = Path(__file__).parents[2] / "examples" / "replay_redis.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """Start a server on a socket of its own, which keeps nothing and refuses when it is full."""
    socket = tmp_path / "redis.sock"
    options = {"port": "0", "unixsocket": str(socket), "save": "", "maxmemory-policy": "noeviction"}
    command = ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    client: Any = redis.Redis(unix_socket_path=str(socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        until = time.monotonic() + 10
        while not socket.exists():
            assert running.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        yield client
    finally:
        client.close()
        running.terminate()
        running.wait(timeout=10)


@pytest.fixture
def store(server: Any) -> Any:
    """Give the example's store."""
    spec = importlib.util.spec_from_file_location("replay_redis", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.RedisReplayStore(server)


def a_key() -> str:
    """Return a key as ``inspect_dpop`` makes them."""
    return f"sha256:{secrets.token_urlsafe(32)}"


def test_a_key_is_new_once(store: Any) -> None:
    """The first add says that it is new, the second that it is not; another key is new."""
    key, expires = a_key(), time.time() + 76
    assert [store.add(key, expires), store.add(key, expires), store.add(a_key(), expires)] == [True, False, True]


def test_of_many_at_once_one_is_told_that_it_is_new(store: Any) -> None:
    """Threads that add the same keys at the same time: each key is new exactly once."""
    keys, expires = [a_key() for _ in range(50)], time.time() + 76
    new: list[str] = []
    start = threading.Barrier(4)

    def add_all() -> None:
        start.wait()
        new.extend([key for key in keys if store.add(key, expires)])

    threads = [threading.Thread(target=add_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == sorted(keys)


def test_a_key_is_forgotten_when_it_expires_and_not_before(store: Any, server: Any) -> None:
    """Redis keeps it until then, to the millisecond; what has expired already is refused."""
    key, expires = a_key(), time.time() + 76
    assert store.add(key, expires)
    (kept,) = server.keys()
    assert 75_000 < server.pttl(kept) <= 76_001
    with pytest.raises(ReplayUnavailable):
        store.add(a_key(), time.time() - 1)


def test_a_full_server_refuses(store: Any, server: Any) -> None:
    """At its limit Redis raises rather than forgets, which makes the check an error."""
    key, expires = a_key(), time.time() + 76
    assert store.add(key, expires)
    server.config_set("maxmemory", "1")
    with pytest.raises(redis.RedisError):
        store.add(a_key(), expires)
    server.config_set("maxmemory", "0")
    assert not store.add(key, expires)


def test_a_server_that_is_gone_raises(store: Any, server: Any) -> None:
    """Without an answer nothing is said to be new."""
    server.shutdown(nosave=True)
    with pytest.raises(redis.RedisError):
        store.add(a_key(), time.time() + 76)

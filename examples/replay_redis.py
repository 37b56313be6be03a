"""Remember used DPoP proofs in Redis, for servers on several machines.

Run: ``pip install redis``, start a ``redis-server``, then ``python examples/replay_redis.py redis://localhost:6379``.

One command decides whether a proof is new: ``SET key "" NX PX milliseconds``. Give Redis the ``maxmemory-policy``
``noeviction``, so that it refuses rather than forgets when it is full. A replica that takes over may lack the last
moments.
"""

from __future__ import annotations

import math
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from counterfoil.schemas import ReplayUnavailable


class RedisReplayStore:
    """Remembers the proofs that every server of this Redis has seen: a ``ReplayStore`` for ``inspect_dpop``."""

    def __init__(self, client: redis.Redis, *, prefix: str = "counterfoil:proof:") -> None:
        self._client = client
        self._prefix = prefix

    def add(self, key: str, expires: float) -> bool:
        """Remember ``key``. Whatever the client raises makes the check end as ``error``: nothing passes unchecked."""
        milliseconds = math.ceil((expires - time.time()) * 1000)
        if milliseconds <= 0:
            raise ReplayUnavailable("the proof has expired already")
        return bool(self._client.set(self._prefix + key, b"", nx=True, px=milliseconds))


def main(url: str) -> None:
    """Add one key twice, if a Redis answers."""
    # A request waits for the answer: better no answer soon than one after many tries.
    options = {"socket_timeout": 2, "socket_connect_timeout": 2, "retry": Retry(NoBackoff(), 0)}
    client = redis.Redis.from_url(url, **options)  # pyright: ignore[reportUnknownMemberType] -- takes any option
    store = RedisReplayStore(client, prefix="counterfoil:example:")
    key, expires = f"sha256:{time.time_ns()}", time.time() + 76
    try:
        print("first:", store.add(key, expires), "second:", store.add(key, expires))
    except redis.ConnectionError:
        print(f"no Redis answers at {url}; start one with: redis-server")
    finally:
        client.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379")

"""A process that forks while three of its threads record: ``forker.py ADDRESS JSON``. It prints what each recorded.

``defect`` forks without waiting for a commit to end, and lets the child go on with its parent's locks.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from counterfoil.audit import AuditLog
from counterfoil.exporters.sql import Writer
from counterfoil.schemas import Action, CredentialUse, Resource, Token


def a_use(name: str) -> CredentialUse:
    """Return a use of this name."""
    return CredentialUse(token=Token(), resource=Resource(uri="https://api.example"), action=Action(name=name))


def record(log: AuditLog, name: str) -> None:
    """Record, and say so."""
    log.record(a_use(name))
    os.write(1, f"{name}\n".encode())


def forks(log: AuditLog, count: int) -> list[int]:
    """Fork so often, while the threads record; each child records once. Return how the children ended."""
    stop = threading.Event()

    def work(thread: int) -> None:
        number = 0
        while not stop.is_set():
            record(log, f"t{thread}-{number}")
            number += 1

    threads = [threading.Thread(target=work, args=(each,)) for each in range(3)]
    for thread in threads:
        thread.start()
    ended: list[int] = []
    for each in range(count):
        child = os.fork()
        if not child:
            signal.alarm(20)
            code = 1
            try:
                record(log, f"c{each}")
                log.flush(deadline=10)
                code = 0
            finally:
                os._exit(code)
        ended.append(os.waitpid(child, 0)[1])
    stop.set()
    for thread in threads:
        thread.join()
    return ended


def in_child(address: str, delivery: Any, name: str) -> None:
    """Record ten times, in a process that multiprocessing made."""
    log = AuditLog.open(address, delivery=delivery)
    for number in range(10):
        record(log, f"{name}-{number}")
    log.close()


def multiprocessed(address: str, delivery: str, count: int) -> list[int]:
    """Let each way to start a process record, in so many processes."""
    ended: list[int] = []
    for method in ("fork", "spawn", "forkserver"):
        context: Any = multiprocessing.get_context(method)
        children = [
            context.Process(target=in_child, args=(address, delivery, f"{method}{each}")) for each in range(count)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            ended.append(child.exitcode)
    return ended


def serve(log: AuditLog, count: int) -> list[int]:
    """Open the log, then fork four workers that answer requests: as servers do that load the application first."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    workers: list[int] = []
    for each in range(4):
        worker = os.fork()
        if not worker:
            work_for_ever(log, listening, each)
        workers.append(worker)
    for _ in range(count):
        with socket.create_connection(listening.getsockname(), timeout=20) as asking:
            asking.sendall(b"x")
            assert asking.recv(1) == b"y"
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
    return [os.waitpid(worker, 0)[1] for worker in workers]


def leave(number: int, frame: object) -> None:
    """End in an orderly way."""
    del number, frame
    sys.exit(0)


def work_for_ever(log: AuditLog, listening: socket.socket, worker: int) -> None:
    """Answer, after recording; SIGTERM ends a worker in an orderly way."""
    signal.signal(signal.SIGTERM, leave)
    number = 0
    while True:
        answering, _ = listening.accept()
        with answering:
            answering.recv(1)
            record(log, f"w{worker}-{number}")
            answering.sendall(b"y")
        number += 1


def main() -> None:
    """Do as told, and print how the children ended."""
    order = json.loads(sys.argv[2])
    if order["what"] == "multiprocessing":
        ended = multiprocessed(sys.argv[1], order["delivery"], order["count"])
    else:
        log = AuditLog.open(sys.argv[1], delivery=order["delivery"], deadline=10.0)
        record(log, "first")
        if order["defect"]:
            log.close()
            log = AuditLog.open(sys.argv[1], delivery=order["delivery"], deadline=0.3)
            Writer.before_fork = lambda _self, _began: None  # type: ignore[method-assign]
            Writer._begin_life = lambda _self: None  # type: ignore[method-assign] # pyright: ignore[reportPrivateUsage]
        ended = forks(log, order["count"]) if order["what"] == "fork" else serve(log, order["count"])
        log.close()
    os.write(1, f"ended {' '.join(map(str, ended))} {time.time()}\n".encode())


if __name__ == "__main__":
    main()

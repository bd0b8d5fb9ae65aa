"""A worker process: plays games of one engine class for the process that started it.

`python -m envs.engines.serve '{"socket": 3, "engine": "package.module:Class", …}'`, see `Worker`. Messages
are JSON: `[game, [command, …]]` is answered with `{"scene": …}` or `{"error": …}`. Nothing is pickled.
"""

import importlib
import ipaddress
import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from envs.engines.stage import Stage


def serve(connection: Connection, stage: Stage) -> None:
    """Answer until the other side has gone."""
    while True:
        try:
            game, commands = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            answer: dict[str, object] = {"scene": asdict(stage.scene(game, commands))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        connection.send_bytes(json.dumps(answer).encode())


def stay_within(memory_bytes: int) -> None:
    """Refuse memory above the limit, to this process and to each that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def stay_offline() -> None:
    """Refuse connections of this Python process that leave the machine."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and not local(arguments[1]):
            raise PermissionError(f"a game wanted to connect to {arguments[1]}: env.network=false")

    sys.addaudithook(refuse)


def local(address: object) -> bool:
    """Whether a socket's address is on this machine."""
    if not isinstance(address, tuple):
        return True  # a unix socket
    host = str(address[0])
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    given = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other side's, which closes the connection
    stay_within(given["memory_bytes"])
    if not given["network"]:
        stay_offline()
    module, name = given["engine"].split(":")
    stage = Stage(getattr(importlib.import_module(module), name), given["room"])
    try:
        serve(Connection(given["socket"]), stage)
        stage.close()
    finally:
        os.killpg(0, signal.SIGKILL)  # programs that an engine has started end too


if __name__ == "__main__":
    main()

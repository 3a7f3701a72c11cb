"""Host names to addresses, in a way that never holds up the end of the program."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from swarm.wire.tracker.announce import numeric_host


async def look_up(name: str) -> list[str]:
    """The numeric addresses of a host, in the order in which the system prefers them.

    The system's resolver can take half a minute and cannot be interrupted. The event loop's own
    executor would wait for it at exit, so each look-up has a thread that nobody waits for; how
    many there are is bounded by the requests that callers make at a time.

    Raises:
        OSError: it has none, or nobody could be asked.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str], error: OSError | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def work() -> None:
        found: list[str] = []
        failure: OSError | None = None
        try:
            for result in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM):
                if (host := numeric_host(str(result[4][0]))) is not None and host not in found:
                    found.append(host)
        except OSError as error:
            failure = error
        except UnicodeError:
            failure = socket.gaierror(socket.EAI_NONAME, "not a host name")
        # The loop may have ended long ago.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, found, failure)

    threading.Thread(target=work, name=f"look up {name[:40]}", daemon=True).start()
    return await answer

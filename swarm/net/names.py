"""Host names to addresses, in a way that never holds up the end of the program."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence

from swarm.base.endpoint import Endpoint
from swarm.wire.tracker.announce import numeric_host

#: Look-ups under way at a time in this process, each with a thread; where so many hang, DNS is dead.
LOOKUPS_MAX = 128
#: Of these, how many one list of names may have.
_LIST_TURNS = 8

_lookups = threading.BoundedSemaphore(LOOKUPS_MAX)


async def look_up(name: str) -> list[str]:
    """The numeric addresses of a host, in the order in which the system prefers them.

    The system's resolver can take half a minute and cannot be interrupted. The event loop's own
    executor would wait for it at exit, so each look-up has a thread that nobody waits for; how
    many there are is bounded by `LOOKUPS_MAX`.

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
        finally:
            _lookups.release()
        # The loop may have ended long ago.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, found, failure)

    if not _lookups.acquire(blocking=False):
        raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
    try:
        threading.Thread(target=work, name=f"look up {name[:40]}", daemon=True).start()
    except RuntimeError:
        _lookups.release()
        raise socket.gaierror(socket.EAI_AGAIN, "no thread to look it up with") from None
    return await answer


async def endpoints_of(
    addresses: Sequence[tuple[str, int]],
    timeout_s: float,
    on_failure: Callable[[str, str], None] | None = None,
) -> list[Endpoint]:
    """Where peers given by (name or number, port) are; a name with several addresses gives them all.

    Args:
        addresses: a caller that has them of a stranger bounds their number.
        timeout_s: for all together; what was found until then is returned.
        on_failure: gets (name, why) for each that has none.

    Returns:
        each once, in the order of `addresses`.
    """
    turns = asyncio.Semaphore(_LIST_TURNS)
    found: dict[str, list[str]] = {}
    failures: dict[str, str] = {}

    async def one(name: str) -> None:
        async with turns:
            try:
                found[name] = await look_up(name)
            except OSError as error:
                failures[name] = error.strerror or str(error)

    names = dict.fromkeys(name for name, _ in addresses)
    for name in names:
        if (host := numeric_host(name)) is not None:
            found[name] = [host]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*(one(name) for name in names if name not in found))
    if on_failure is not None:
        for name in names:
            if name not in found:
                on_failure(name, failures.get(name, "no answer"))
    return list(
        dict.fromkeys(Endpoint(host, port) for name, port in addresses for host in found.get(name, ()))
    )

"""Host names to addresses, without ever delaying the end of the program."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Sequence

from swarm.base.endpoint import Endpoint, numeric_host
from swarm.net.ask_once import AskOnce

#: An address as users write it: a host, by name or number, and a port.
Address = tuple[str, int]
#: Look-ups at a time in this process, each of which has a thread; where so many hang, the DNS is down.
LOOKUPS_MAX = 128
#: Look-ups at a time for one list of names.
_LIST_TURNS = 8

_lookups = threading.BoundedSemaphore(LOOKUPS_MAX)


async def look_up(name: str) -> list[str]:
    """The numeric addresses of a host, in the order in which the system prefers them.

    The system's resolver can take half a minute and cannot be interrupted. The event loop's executor would
    wait for it at exit, so each look-up has a daemon thread of its own, of which there are at most
    `LOOKUPS_MAX`.

    Raises:
        OSError: the name has no address, or no resolver could be asked.
    """
    loop = asyncio.get_running_loop()
    # A thread releases the semaphore from which its turn was taken, even if tests have replaced it since.
    turns = _lookups
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
            turns.release()
        # The loop may be closed by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, found, failure)

    if not turns.acquire(blocking=False):
        raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
    try:
        threading.Thread(target=work, name=f"look up {name[:40]}", daemon=True).start()
    except RuntimeError:
        turns.release()
        raise socket.gaierror(socket.EAI_AGAIN, "no thread to look it up with") from None
    return await answer


async def endpoints_of(
    addresses: Sequence[Address],
    timeout_s: float,
    on_failure: Callable[[str, str], None] | None = None,
) -> list[Endpoint]:
    """The endpoints of peers given by name or number; of a name with several addresses all of them.

    Args:
        addresses: (host, port). A caller that has them from a stranger bounds their number.
        timeout_s: for all together; what was found by then is returned.
        on_failure: called with (name, reason) for each name without an address.

    Returns:
        Each endpoint once, in the order of `addresses`.
    """
    if not addresses:
        return []
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
    # Numeric hosts do not wait behind names that hang.
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


async def endpoints_by_and_by(
    addresses: Sequence[Address],
    timeout_s: float,
    on_failure: Callable[[str, str], None] | None = None,
) -> AsyncGenerator[list[Endpoint], None]:
    """As `endpoints_of`, but numbers come at once: they do not wait for names that hang."""
    is_number = [numeric_host(name) is not None for name, _ in addresses]
    for wanted in (True, False):
        part = [address for address, number in zip(addresses, is_number, strict=True) if number is wanted]
        if found := await endpoints_of(part, timeout_s, on_failure):
            yield found


class NameCache:
    """Caches the addresses of hosts that are looked up again and again, such as trackers.

    Args:
        life_s: how long an answer is used. The system's resolver tells no time to live; a minute is short
            enough for hosts that move.
        names_max: names that are cached; the oldest are dropped.
    """

    def __init__(self, *, life_s: float = 60.0, names_max: int = 1000) -> None:
        self._life_s = life_s
        self._answers = AskOnce(self._ask, "look up", names_max)

    async def addresses(self, name: str) -> list[str]:
        """As `look_up`; a numeric address is its own answer.

        Raises:
            OSError: as `look_up`, or the cache was closed.
        """
        if (host := numeric_host(name)) is not None:
            return [host]
        return await self._answers.about(name)

    def forget(self) -> None:
        """Forget all answers: we are in another network, where names may have other addresses."""
        self._answers.forget()

    async def close(self) -> None:
        """End all look-ups; whoever waits for one gets an OSError."""
        await self._answers.close()

    async def _ask(self, name: str) -> tuple[list[str], float]:
        return await look_up(name), self._life_s

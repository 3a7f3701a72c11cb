"""Host names to addresses, in a way that never holds up the end of the program."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence

from swarm.base.endpoint import Endpoint, numeric_host

#: An address as users write it: a name or a number, and a port.
Address = tuple[str, int]
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
    # A thread gives back the turn that was taken for it.
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
        # The loop may have ended long ago.
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
    # Numbers do not wait for the turn of names that hang.
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


class NameCache:
    """Remembers the addresses of hosts that are asked for again and again, such as trackers.

    Whoever asks while a name is being looked up waits for the same answer, so that a thousand torrents
    of one tracker cost one thread. The system tells us no time to live: a minute is short enough for
    those who move, and failures are not kept at all.
    """

    def __init__(self, *, life_s: float = 60.0, names_max: int = 1000) -> None:
        self._life_s = life_s
        self._names_max = names_max
        #: name -> (addresses, until when); the oldest first.
        self._known: dict[str, tuple[list[str], float]] = {}
        self._asking: dict[str, asyncio.Task[list[str]]] = {}

    async def addresses(self, name: str) -> list[str]:
        """As `look_up`; a numeric address is its own answer.

        Raises:
            OSError: it has none, or nobody could be asked.
        """
        if (host := numeric_host(name)) is not None:
            return [host]
        known = self._known.get(name)
        if known is not None and known[1] > asyncio.get_running_loop().time():
            return known[0]
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.create_task(look_up(name), name=f"look up {name[:40]}")
            task.add_done_callback(lambda task: self._answered(name, task))
        await asyncio.wait([task])
        if task.cancelled():
            raise socket.gaierror(socket.EAI_AGAIN, "closed")
        return task.result()

    def forget(self) -> None:
        """We are in another network, where names may have other addresses."""
        self._known.clear()

    async def close(self) -> None:
        """Wait for no answer any more; those who do get an OSError."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _answered(self, name: str, task: asyncio.Task[list[str]]) -> None:
        del self._asking[name]
        if task.cancelled() or task.exception() is not None:
            return
        self._known.pop(name, None)
        while len(self._known) >= self._names_max:
            del self._known[next(iter(self._known))]
        self._known[name] = task.result(), task.get_loop().time() + self._life_s

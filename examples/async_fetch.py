"""Async handlers: many fetches wait at once on one thread, yet their results are committed in order.

The program starts a small HTTP server of its own and fetches from it.
"""

import asyncio
from collections.abc import Iterator

from flowforge import Flow, Routine, Runtime

PAGES = 30
AT_ONCE = 10


class Server:
    """Answers only when as many requests as can be under way have come, which shows that they wait side by side."""

    def __init__(self) -> None:
        self.are_all_here = asyncio.Barrier(AT_ONCE)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        await self.are_all_here.wait()
        path = request.split()[1]
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nThis is page " + path)
        await writer.drain()
        writer.close()


class Pages(Routine):
    """Emits the paths to fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.list_pages)
        self.define_event("page", ["port", "path"])

    def list_pages(self, port: int) -> Iterator[None]:
        while self.state.get("listed", 0) < PAGES:
            self.increment_stat("listed")
            self.emit("page", port=port, path=f"/{self.state['listed']}")
            yield


class Fetch(Routine):
    """Has ten replicas; while one waits for the network, it holds no thread."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("page", handler=self.fetch)
        self.define_event("body", ["text"])
        self.set_concurrency(AT_ONCE)
        self.set_timeout(10.0)

    async def fetch(self, port: int, path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        response = await reader.read()
        writer.close()
        await writer.wait_closed()
        self.emit("body", text=response.partition(b"\r\n\r\n")[2].decode())


async def main() -> None:
    """Serve, fetch, and print what came."""
    flow = Flow(flow_id="async_fetch")
    flow.add_routine(Pages(), "pages")
    flow.add_routine(Fetch(), "fetch")
    flow.connect("pages.page", "fetch.page")

    server = await asyncio.start_server(Server().answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with Runtime(thread_pool_size=2) as runtime:
            job = runtime.exec(flow, entry_params={"port": port})
            await job.wait_async()

    print("status:", job.status)
    bodies = [payload["text"] for payload in job.outputs["fetch.body"]]
    print(len(bodies), "pages, from", repr(bodies[0]), "to", repr(bodies[-1]))
    print("in order:", bodies == [f"This is page /{number}" for number in range(1, PAGES + 1)])


if __name__ == "__main__":
    asyncio.run(main())

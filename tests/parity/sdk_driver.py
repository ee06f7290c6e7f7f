"""Drives the official Python SDK, unmodified, against the sandbox.

The parity test starts this program with the SDK's Python and talks to it in
lines of JSON: one command in, one answer out. Only the SDK's own constructor
argument `transport` is used: it sends every request to the sandbox instead of
the broker's host and refuses any host that is not the broker's. The `Host`
header keeps the name that the SDK asked for, so the sandbox records it. Feeds
are given their address with the SDK's own argument `url`.

usage: sdk_driver.py SANDBOX_URL [CA_FILE]
"""

import asyncio
import importlib.metadata
import json
import math
import os
import ssl
import sys
import tempfile
import threading

import httpx

# What the SDK writes into the working folder goes when this program ends.
SCRATCH = tempfile.TemporaryDirectory()
os.chdir(SCRATCH.name)

# The SDK logs to the standard output that it finds when it is imported.
ANSWERS = sys.stdout
sys.stdout = sys.stderr

import neo_api_client  # noqa: E402
from neo_api_client.exceptions import ApiException  # noqa: E402
from neo_api_client.websocket.feed import WsToken  # noqa: E402
from neo_api_client.websocket.orderfeed.models import OrderUpdate, PositionUpdate  # noqa: E402

# Far longer than anything takes.
PATIENCE = 60


class ToSandbox(httpx.BaseTransport):
    """Keeps method, path, query, headers and body, and changes the address."""

    def __init__(self, address, ca_file):
        self.address = httpx.URL(address)
        verify = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self.inner = httpx.HTTPTransport(verify=verify)

    def handle_request(self, request):
        asked = request.url
        if asked.scheme != "https" or not asked.host.endswith(
            (".kotaksecurities.com", ".kotaksecurities.online")
        ):
            raise httpx.UnsupportedProtocol(f"not an address of the broker: {asked}")
        # A new request, so that the SDK's cookie jar sees the broker's host.
        return self.inner.handle_request(
            httpx.Request(
                request.method,
                asked.copy_with(
                    scheme=self.address.scheme, host=self.address.host, port=self.address.port
                ),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )

    def close(self):
        self.inner.close()


def feed_url(create):
    """The address that the SDK would connect to, or what it says instead."""
    try:
        return create().url
    except ValueError as error:
        return f"refused: {error}"


def state(client):
    """What the SDK keeps of a login, and the addresses that follow from it."""
    kept = client.configuration
    if kept.edit_token and kept.edit_sid:
        return {
            "state": "trade",
            "token": kept.edit_token,
            "sid": kept.edit_sid,
            "rid": kept.edit_rid,
            "ucc": kept.ucc,
            "data_center": kept.data_center,
            "base_url": kept.get_domain(),
            "feed_url": feed_url(client.create_websocket),
            "order_feed_url": feed_url(client.create_order_feed),
        }
    if kept.view_token and kept.sid:
        return {"state": "view"}
    return {"state": "logged_out"}


def plain(value):
    """A message of a feed, as JSON has it."""
    if isinstance(value, (OrderUpdate, PositionUpdate)):
        return value.model_dump(by_alias=True, exclude_unset=True)
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float {value}"
    return value


class Feeds:
    """The SDK's feeds, which are asynchronous, on an event loop of their own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.open = {}

    def wait(self, work):
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(work, PATIENCE), self.loop
        ).result()

    def do(self, client, name, feed, arguments):
        if name == "feed_open":
            made = getattr(client, feed)(**arguments)
            self.open[feed] = made
            return self.call(made.connect())
        made = self.open[feed]
        if name == "feed_until":
            return self.wait(self.until(made, arguments["fence"]))
        if name == "feed_close":
            return self.wait(made.close())
        tokens = arguments.pop("tokens", None)
        if tokens is not None:
            arguments["tokens"] = [WsToken(*one.split("|")) for one in tokens]
        return self.call(getattr(made, arguments.pop("call"))(**arguments))

    def call(self, work):
        try:
            return {"answer": self.wait(work)}
        except Exception as error:
            return {"raised": type(error).__name__}

    @staticmethod
    async def until(made, fence):
        """The messages before the one that is, or is about, `fence`."""
        messages = []
        while True:
            message = plain(await anext(made))
            if message == fence:
                return messages
            if isinstance(message, dict) and message.get("instrument_token") == fence:
                return messages
            messages.append(message)

    def end(self):
        for made in self.open.values():
            self.wait(made.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def run(transport_of, feeds):
    client = None
    for line in sys.stdin:
        command = json.loads(line)
        name, arguments = command["do"], command.get("with", {})
        if name == "version":
            answer = importlib.metadata.version("kotakneoapi")
        elif name == "open":
            client = neo_api_client.NeoAPI(transport=transport_of(), **arguments)
            answer = None
        elif name == "state":
            answer = state(client)
        elif name.startswith("feed_"):
            answer = feeds.do(client, name, arguments.pop("feed"), arguments)
        else:
            try:
                answer = {"answer": getattr(client, name)(**arguments)}
            except ApiException as error:
                answer = {"raised": {"status": error.status, "reason": error.reason}}
        # An exception may be part of an answer.
        print(json.dumps(answer, default=repr), file=ANSWERS, flush=True)


if __name__ == "__main__":
    ADDRESS = sys.argv[1]
    CA_FILE = sys.argv[2] if len(sys.argv) > 2 else None
    FEEDS = Feeds()
    try:
        run(lambda: ToSandbox(ADDRESS, CA_FILE), FEEDS)
    finally:
        FEEDS.end()

"""The official Python SDK, unmodified, as a peer of the benchmark of the feeds.

The same lines as neo_feed.c, and those of decode.c.

usage: sdk_feed.py ADDRESS CA_FILE
"""

import asyncio
import sys
import time

# Beside the sources, that is.
sys.dont_write_bytecode = True
import sdk

feed = None
loop = asyncio.new_event_loop()


async def open_feed(path):
    global feed
    from neo_api_client.websocket.feed import WsToken

    with open(path, encoding="ascii") as file:
        tokens = [WsToken(*token.split("|")) for token in file.read().split(",")]
    feed = sdk.client.create_websocket()
    await feed.connect()
    await feed.subscribe_scrips(tokens)
    for _ in tokens:
        await anext(feed)
    return [len(tokens)]


async def messages(milliseconds):
    # By callback: waiting for one message after the other, it gets to read a
    # few a second while more arrive than it can take.
    count, start = 0, time.perf_counter_ns()

    def one_more(_):
        nonlocal count
        count += 1

    feed.on_message = one_more
    while time.perf_counter_ns() < start + int(milliseconds) * 1_000_000:
        await asyncio.sleep(0.01)
    taken, feed.on_message = count, None
    return [taken, 0, time.perf_counter_ns() - start]


async def delays(count):
    ages, start, done = [], time.time_ns(), asyncio.Event()

    def age(message):
        now, sent = time.time_ns(), message.volume_traded_today
        if sent >= start:
            ages.append(now - sent)
            if len(ages) >= int(count):
                done.set()

    feed.on_message = age
    await done.wait()
    feed.on_message = None
    return ages


async def close(_):
    # Or its goodbye waits ten seconds behind all that it has not read.
    feed._ws.transport.abort()
    await feed.close()
    return [0]


def decode(path_and_times):
    from neo_api_client.websocket.feed.protocol import decode_packet, split_batch

    path, times = path_and_times.rsplit(" ", 1)
    with open(path, "rb") as file:
        packets = split_batch(file.read())
    dividers = {1: 100}
    total = sum(prices(decode_packet(packet, dividers)) for packet in packets)
    start = time.perf_counter_ns()
    for _ in range(int(times)):
        for packet in packets:
            decode_packet(packet, dividers)
    return [len(packets) * int(times), time.perf_counter_ns() - start, total]


def prices(scrip):
    """The sum of all prices, so that nobody has left out one."""
    names = "open close high low last_traded average_trade"
    total = sum(getattr(scrip, f"{name}_price") for name in names.split())
    total += scrip.net_change + scrip.upper_circuit_limit + scrip.lower_circuit_limit
    total += scrip.yearly_high + scrip.yearly_low
    return total + sum(row.price for row in scrip.buy + scrip.sell)


def waiting(work):
    return lambda rest: loop.run_until_complete(work(rest))


if __name__ == "__main__":
    sdk.serve({
        **sdk.COMMON,
        "open": waiting(open_feed),
        "messages": waiting(messages),
        "delays": waiting(delays),
        "close": waiting(close),
        "decode": decode,
    })

#!/usr/bin/env python3
"""Live orders and prices in Python.

    ticks.py [COUNT [INSTRUMENT...]]

It prints the orders of the day as the order feed tells them, and then COUNT prices
(20 unless given) of the instruments: "nse_cm|11536", or the name of an index,
"nse_cm|Nifty 50". The input is that of login.py.
"""

import json
import os
import sys
from pathlib import Path

# The binding lies in its own folder. It is one file, to be copied.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings" / "python"))
import kotak_neo

PATIENCE_MS = 30_000


def show_orders(client):
    """Print what the order feed tells until the orders of the day were told."""
    with client.order_feed() as feed:
        for reply in feed.events(PATIENCE_MS):
            event = json.loads(reply.redacted)
            event.pop("data", None)  # the broker's row, which is long
            print("order feed:", json.dumps(event))
            if event["type"] == "books" and event["ok"]:
                return
    raise ValueError("the books were not read in time")


def show_price(tick):
    line = f"{tick.symbol} {tick.last_traded_price:.2f}"
    if tick.valid & kotak_neo.KNEO_HAS_NET_CHANGE_PERCENT:
        line += f" ({tick.net_change_percent:+.2f} %)"
    if tick.valid & kotak_neo.KNEO_HAS_BUY:
        line += f", bid {tick.buy_price:.2f}"
    if tick.valid & kotak_neo.KNEO_HAS_SELL:
        line += f", ask {tick.sell_price:.2f}"
    if tick.valid & kotak_neo.KNEO_HAS_VOLUME:
        line += f", volume {tick.volume_traded_today}"
    print(f"{line}, {tick.age_us} us old")


def show_prices(client, count, instruments):
    with client.feed() as feed:
        for instrument in instruments:
            # An index has a name, everything else a number.
            is_index = not instrument.split("|")[-1].isdigit()
            feed.subscribe("index" if is_index else "scrips", instrument)
        for tick in feed.ticks(PATIENCE_MS):
            if tick.kind == kotak_neo.KNEO_KIND_STATE:
                print("feed:", tick.state)
                continue
            show_price(tick)
            count -= 1
            if count == 0:
                return
    raise ValueError("no price came in time")


def run(lib, count, instruments):
    variable = os.environ.get
    if count < 1:
        raise ValueError("usage: ticks.py [COUNT [INSTRUMENT...]]")
    with kotak_neo.Client(lib, variable("KNEO_CONFIG")) as client:
        client.totp_login(variable("KNEO_MOBILE_NUMBER"), variable("KNEO_UCC"), kotak_neo.totp_of_now(lib))
        client.totp_validate(variable("KNEO_MPIN"))
        show_orders(client)
        show_prices(client, count, instruments)


def main():
    lib = kotak_neo.load()
    ok = True
    try:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
        run(lib, count, sys.argv[2:] or ["nse_cm|Nifty 50", "nse_cm|11536"])
    except (kotak_neo.Error, ValueError) as error:
        print(error, file=sys.stderr)
        ok = False
    return kotak_neo.finish(lib, ok)


if __name__ == "__main__":
    sys.exit(main())

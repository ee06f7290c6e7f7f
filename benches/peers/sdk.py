"""The official Python SDK, unmodified, as a peer of the benchmark of REST.

The same lines as the C peers (see peer_rest.h). Requests are sent to the sandbox
through the SDK's own constructor argument `transport`.

usage: sdk.py ADDRESS CA_FILE
"""

import json
import os
import sys
import time

neo_api_client = None
httpx = None
client = None


def load():
    global neo_api_client, httpx
    import neo_api_client as sdk

    neo_api_client = sdk
    import httpx as http

    httpx = http


def transport(address, ca_file):
    """Reroutes to the sandbox; trusts its CA beside the roots httpx trusts."""
    verify = httpx.create_ssl_context()
    if ca_file:
        verify.load_verify_locations(ca_file)
    sandbox = httpx.URL(address)

    class ToSandbox(httpx.HTTPTransport):
        def handle_request(self, request):
            request.url = request.url.copy_with(
                scheme=sandbox.scheme, host=sandbox.host, port=sandbox.port
            )
            return super().handle_request(request)

    return ToSandbox(verify=verify)


def open_client():
    global client
    if sys.argv[1]:
        client = neo_api_client.NeoAPI(
            consumer_key=os.environ["KNEO_CONSUMER_KEY"],
            transport=transport(sys.argv[1], sys.argv[2]),
        )
    else:
        client = neo_api_client.NeoAPI()


def login(totp):
    for answer in (
        client.totp_login(os.environ["KNEO_MOBILE_NUMBER"], os.environ["KNEO_UCC"], totp),
        client.totp_validate(os.environ["KNEO_MPIN"]),
    ):
        if "token" not in answer.get("data", {}):
            sys.exit(f"refused: {answer}")


def order():
    answer = client.place_order(
        exchange_segment="nse_cm",
        product="CNC",
        price="8.60",
        order_type="L",
        quantity="1",
        validity="DAY",
        trading_symbol="IDEA-EQ",
        transaction_type="B",
    )
    if "nOrdNo" not in answer:
        sys.exit(f"refused: {answer}")


def quote():
    answer = client.quotes([{"exchange_segment": "nse_cm", "instrument_token": "14366"}])
    if not isinstance(answer, list):
        sys.exit(f"refused: {answer}")


def search(params):
    answer = client.search_scrip(**json.loads(params))
    if not isinstance(answer, list):
        sys.exit(f"refused: {answer}")


def timed(call, *arguments):
    start = time.perf_counter_ns()
    call(*arguments)
    return time.perf_counter_ns() - start


def repeated(call):
    return lambda times: [timed(call) for _ in range(int(times))]


def logins(totp_and_times):
    totp, times = totp_and_times.split()
    return [timed(login, totp) for _ in range(int(times))]


def memory(_):
    with open("/proc/self/status", encoding="ascii") as status:
        return [text.split()[1] for text in status if text.startswith("VmRSS")]


COMMON = {
    "load": lambda _: [timed(load)],
    "client": lambda _: [timed(open_client)],
    "login": logins,
    "memory": memory,
}


def serve(commands):
    """Does what the lines say; a command gets what follows its name."""
    for line in sys.stdin:
        name, _, rest = line.strip().partition(" ")
        if name not in commands:
            sys.exit(f"unknown command: {line}")
        print(*commands[name](rest), flush=True)


if __name__ == "__main__":
    serve({
        **COMMON,
        "order": repeated(order),
        "quote": repeated(quote),
        "search": lambda params: [timed(search, params)],
    })

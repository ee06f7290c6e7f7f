"""Kotak Neo's trading API from Python: the kotak_neo library through ctypes.

    import kotak_neo
    lib = kotak_neo.load()
    with kotak_neo.Client(lib, config) as client:
        client.totp_login("+919999999999", "ABC12", "123456")
        client.totp_validate("123456")
        with client.feed() as feed:
            feed.subscribe("scrips", "nse_cm|11536")
            for tick in feed.ticks(timeout_ms=10_000):
                print(tick.symbol, tick.last_traded_price)

KNEO_LIBRARY may give the path of the shared library. A call that is not OK
raises Error. It blocks until the answer is there or its deadline has passed, and
other threads of Python go on meanwhile.
"""

import ctypes
import json
import os
import sys
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t
from ctypes import c_uint32, c_uint64, c_void_p

KNEO_OK = 0
KNEO_INVALID_HANDLE = 2
KNEO_CLOSED = 12
KNEO_END = 14
KNEO_KIND_INDEX = 3
KNEO_KIND_STATE = 6
KNEO_HAS_NET_CHANGE_PERCENT = 1 << 5
KNEO_HAS_BUY = 1 << 9
KNEO_HAS_SELL = 1 << 10
KNEO_HAS_VOLUME = 1 << 16
STATES = ["unknown", "connecting", "authenticating", "live", "stale", "down", "refused"]

# Handles are opaque numbers in a pointer. Without these declarations ctypes
# takes them for a C int and cuts them in half.
CLIENT = c_void_p
RESPONSE = c_void_p
FEED = c_void_p
ORDER_FEED = c_void_p


def _fields(kind, names):
    return [(name, kind) for name in names.split()]


class Tick(ctypes.Structure):
    """One record of a market feed, as kneo_tick in kotak_neo.h.

    A field is there only if its bit KNEO_HAS_... is set in valid.
    """

    _fields_ = (
        _fields(c_double, """last_traded_price open_price high_price low_price close_price
            average_trade_price net_change net_change_percent upper_circuit_limit
            lower_circuit_limit yearly_high yearly_low total_traded_value buy_price sell_price
            ref_price multiplier""")
        + _fields(c_int64, """last_traded_price_raw open_price_raw high_price_raw low_price_raw
            close_price_raw average_trade_price_raw net_change_raw upper_circuit_limit_raw
            lower_circuit_limit_raw yearly_high_raw yearly_low_raw buy_price_raw sell_price_raw
            ref_price_raw last_trade_time last_update_time last_trade_qty total_buy_quantity
            total_sell_quantity volume_traded_today open_interest buy_quantity sell_quantity
            imbalance_qty imbalance_qty_at_market market_lot received_ns age_us""")
        + _fields(c_uint64, "sequence replaced valid")
        + _fields(c_int32, "kind exchange_id")
        + _fields(c_uint32, "token")
        + _fields(c_int32, """divider level precision auction buy_orders sell_orders buy_rows
            sell_rows status_code feed_state close_code state_changes reserved""")
        + [("_exchange_segment", c_char * 8), ("_trading_symbol", c_char * 48), ("_name", c_char * 24)]
    )

    @property
    def symbol(self):
        """The trading symbol, or the name of an index; "" until the broker has told it."""
        text = self._name if self.kind == KNEO_KIND_INDEX else self._trading_symbol
        return text.decode("utf-8")

    @property
    def state(self):
        """The state of the feed: "live" and so on."""
        return STATES[self.feed_state] if self.feed_state < len(STATES) else STATES[0]


if ctypes.sizeof(Tick) != 528:
    raise ImportError("the layout of Tick is not that of kotak_neo.h")

# name: (result, arguments), as in kotak_neo.h. The JSON is a c_void_p because
# its length is asked for; ctypes turns the other texts into bytes by itself.
DECLARATIONS = {
    "kneo_live_handles": (c_int32, []),
    "kneo_shutdown": (c_int32, [c_int32]),
    "kneo_response_status": (c_int32, [RESPONSE]),
    "kneo_response_json": (c_void_p, [RESPONSE]),
    "kneo_response_json_len": (c_size_t, [RESPONSE]),
    "kneo_response_message": (c_char_p, [RESPONSE]),
    "kneo_response_meta": (c_char_p, [RESPONSE]),
    "kneo_response_redacted": (c_char_p, [RESPONSE]),
    "kneo_response_free": (None, [RESPONSE]),
    "kneo_client_open": (RESPONSE, [c_char_p, POINTER(CLIENT)]),
    "kneo_client_free": (None, [CLIENT]),
    "kneo_totp_login": (RESPONSE, [CLIENT, c_char_p, c_char_p, c_char_p]),
    "kneo_totp_validate": (RESPONSE, [CLIENT, c_char_p]),
    "kneo_login": (RESPONSE, [CLIENT, c_char_p, c_char_p, c_char_p, c_char_p]),
    "kneo_session_2fa": (RESPONSE, [CLIENT, c_char_p]),
    "kneo_totp_generate": (RESPONSE, [c_char_p]),
    "kneo_ledger_open_intents": (RESPONSE, [c_char_p]),
    "kneo_client_halt": (RESPONSE, [CLIENT]),
    "kneo_session_info": (RESPONSE, [CLIENT]),
    "kneo_logout": (RESPONSE, [CLIENT]),
    "kneo_feed_open": (RESPONSE, [CLIENT, c_char_p, POINTER(FEED)]),
    "kneo_feed_subscribe": (RESPONSE, [FEED, c_char_p, c_char_p]),
    "kneo_feed_unsubscribe": (RESPONSE, [FEED, c_char_p, c_char_p]),
    "kneo_feed_read": (c_int32, [FEED, POINTER(Tick), c_int32, c_size_t, c_int32]),
    "kneo_feed_last": (c_int32, [FEED, c_char_p, POINTER(Tick), c_size_t]),
    "kneo_feed_status": (RESPONSE, [FEED]),
    "kneo_feed_free": (None, [FEED]),
    "kneo_order_feed_open": (RESPONSE, [CLIENT, c_char_p, POINTER(ORDER_FEED)]),
    "kneo_order_feed_next": (RESPONSE, [ORDER_FEED, c_int32]),
    "kneo_order_feed_status": (RESPONSE, [ORDER_FEED]),
    "kneo_order_feed_free": (None, [ORDER_FEED]),
}


def load():
    """Load the library and declare every function that is used here."""
    default = "kotak_neo.dll" if sys.platform == "win32" else "libkotak_neo.so.1"
    library = ctypes.CDLL(os.environ.get("KNEO_LIBRARY", default))
    for name, (result, arguments) in DECLARATIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


class Error(Exception):
    """A call that was not OK; it carries the status, both JSON texts and the meta."""

    def __init__(self, status, message, json_text, redacted, meta):
        super().__init__(message)
        self.status = status
        self.json = json_text
        self.redacted = redacted
        self.meta = meta


class Reply:
    """What a call gave back, copied out of the library.

    meta is JSON with facts about the call: its notes and hints, the tag of an order.
    """

    def __init__(self, lib, raw):
        try:
            self.status = lib.kneo_response_status(raw)
            size = lib.kneo_response_json_len(raw)
            self.json = ctypes.string_at(lib.kneo_response_json(raw), size).decode("utf-8")
            self.redacted = lib.kneo_response_redacted(raw).decode("utf-8")
            self.meta = lib.kneo_response_meta(raw).decode("utf-8")
            message = lib.kneo_response_message(raw).decode("utf-8")
        finally:
            lib.kneo_response_free(raw)
        if self.status != KNEO_OK:
            raise Error(self.status, message, self.json, self.redacted, self.meta)

    def __repr__(self):
        return f"Reply({self.redacted})"


def text(argument, value):
    """One argument as UTF-8; None means "not given". C would cut it at a NUL."""
    if value is None:
        return None
    if "\0" in value:
        raise ValueError(f"{argument} contains a NUL character")
    return value.encode("utf-8")


class Client:
    """One account's connection to the broker; use it in a with statement."""

    def __init__(self, lib, config=None):
        self._lib = lib
        self._handle = CLIENT()
        Reply(lib, lib.kneo_client_open(text("config", config), byref(self._handle)))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._lib.kneo_client_free(self._handle)

    def totp_login(self, mobile_number, ucc, totp):
        return Reply(self._lib, self._lib.kneo_totp_login(
            self._handle, text("mobile_number", mobile_number), text("ucc", ucc), text("totp", totp)))

    def totp_validate(self, mpin):
        return Reply(self._lib, self._lib.kneo_totp_validate(self._handle, text("mpin", mpin)))

    def login(self, password, mobile_number=None, user_id=None, pan=None):
        return Reply(self._lib, self._lib.kneo_login(
            self._handle, text("mobile_number", mobile_number), text("user_id", user_id),
            text("pan", pan), text("password", password)))

    def session_2fa(self, otp):
        return Reply(self._lib, self._lib.kneo_session_2fa(self._handle, text("otp", otp)))

    def halt(self):
        """The kill switch: nothing but cancels leaves this client from now on."""
        return Reply(self._lib, self._lib.kneo_client_halt(self._handle))

    def session_info(self):
        return Reply(self._lib, self._lib.kneo_session_info(self._handle))

    def logout(self):
        return Reply(self._lib, self._lib.kneo_logout(self._handle))

    def feed(self, options=None):
        """Opens the market feed; use it in a with statement."""
        return Feed(self._lib, self._handle, options)

    def order_feed(self, options=None):
        """Opens the order feed; use it in a with statement."""
        return OrderFeed(self._lib, self._handle, options)


class Feed:
    """The market feed of a client. Any thread may use it; it ends with its client."""

    def __init__(self, lib, client, options=None):
        self._lib = lib
        self._handle = FEED()
        Reply(lib, lib.kneo_feed_open(client, text("options", options), byref(self._handle)))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Ends the feed and every wait on it."""
        self._lib.kneo_feed_free(self._handle)

    def subscribe(self, kind, tokens=None):
        return Reply(self._lib, self._lib.kneo_feed_subscribe(
            self._handle, text("kind", kind), text("tokens", tokens)))

    def unsubscribe(self, kind, tokens=None):
        return Reply(self._lib, self._lib.kneo_feed_unsubscribe(
            self._handle, text("kind", kind), text("tokens", tokens)))

    def status(self):
        return Reply(self._lib, self._lib.kneo_feed_status(self._handle))

    def ticks(self, timeout_ms):
        """The records one by one, states of the feed among them.

        It ends when none comes within timeout_ms, and with the feed.
        """
        while True:
            tick = Tick()
            count = self._lib.kneo_feed_read(self._handle, tick, 1, ctypes.sizeof(tick), timeout_ms)
            if count in (0, -KNEO_CLOSED, -KNEO_INVALID_HANDLE):
                return
            self._check(count)
            yield tick

    def last(self, instrument):
        """The newest price of an instrument, or None; look at its age_us."""
        tick = Tick()
        found = self._lib.kneo_feed_last(
            self._handle, text("instrument", instrument), tick, ctypes.sizeof(tick))
        return tick if self._check(found) else None

    @staticmethod
    def _check(count):
        if count < 0:
            raise Error(-count, f"status {-count}", "", "", "")
        return count


class OrderFeed:
    """The order feed of a client. Any thread may use it; it ends with its client."""

    def __init__(self, lib, client, options=None):
        self._lib = lib
        self._handle = ORDER_FEED()
        Reply(lib, lib.kneo_order_feed_open(
            client, text("options", options), byref(self._handle)))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Ends the feed and every wait on it."""
        self._lib.kneo_order_feed_free(self._handle)

    def status(self):
        return Reply(self._lib, self._lib.kneo_order_feed_status(self._handle))

    def events(self, timeout_ms):
        """The events one by one, as replies. Ends as Feed.ticks does."""
        while True:
            try:
                reply = Reply(self._lib, self._lib.kneo_order_feed_next(self._handle, timeout_ms))
            except Error as error:
                if error.status in (KNEO_END, KNEO_CLOSED, KNEO_INVALID_HANDLE):
                    return
                raise
            yield reply


def ledger_open_intents(lib, ledger_file):
    """What is open in a ledger file, whoever has it: a reply with "intents" and "held_by"."""
    return Reply(lib, lib.kneo_ledger_open_intents(text("ledger_file", ledger_file)))


def totp_of_now(lib):
    """The six digits: KNEO_TOTP, or made from KNEO_TOTP_SECRET."""
    given = os.environ.get("KNEO_TOTP")
    if given:
        return given
    secret = text("KNEO_TOTP_SECRET", os.environ.get("KNEO_TOTP_SECRET"))
    return json.loads(Reply(lib, lib.kneo_totp_generate(secret)).json)["totp"]


def finish(lib, ok):
    """Ends the library; the exit code of a program."""
    if lib.kneo_shutdown(5000) != KNEO_OK:
        print("the library's threads did not end in time", file=sys.stderr)
        ok = False
    live = lib.kneo_live_handles()
    print(f"live handles: {live}")
    return 0 if ok and live == 0 else 1

#!/usr/bin/env python3
"""Log in to Kotak Neo from Python, with ctypes and nothing else.

    login.py totp        mobile number, UCC and TOTP, then the MPIN  (the default)
    login.py password    mobile number and password, then OTP or MPIN

All input comes from the environment: KNEO_CONFIG, KNEO_MOBILE_NUMBER, KNEO_UCC,
KNEO_TOTP or KNEO_TOTP_SECRET, KNEO_MPIN, KNEO_PASSWORD, KNEO_OTP. KNEO_LIBRARY
may give the path of the shared library.

For each call one line is printed: its name, its status, and its JSON with
tokens and personal data masked.
"""

import ctypes
import json
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_void_p

KNEO_OK = 0

# Handles are opaque numbers in a pointer. Without these declarations ctypes
# takes them for a C int and cuts them in half.
CLIENT = c_void_p
RESPONSE = c_void_p

# name: (result, arguments), as in kotak_neo.h. The JSON is a c_void_p because
# its length is asked for; ctypes turns the other texts into bytes by itself.
DECLARATIONS = {
    "kneo_live_handles": (c_int32, []),
    "kneo_shutdown": (c_int32, [c_int32]),
    "kneo_response_status": (c_int32, [RESPONSE]),
    "kneo_response_json": (c_void_p, [RESPONSE]),
    "kneo_response_json_len": (c_size_t, [RESPONSE]),
    "kneo_response_message": (c_char_p, [RESPONSE]),
    "kneo_response_redacted": (c_char_p, [RESPONSE]),
    "kneo_response_free": (None, [RESPONSE]),
    "kneo_client_open": (RESPONSE, [c_char_p, POINTER(CLIENT)]),
    "kneo_client_free": (None, [CLIENT]),
    "kneo_totp_login": (RESPONSE, [CLIENT, c_char_p, c_char_p, c_char_p]),
    "kneo_totp_validate": (RESPONSE, [CLIENT, c_char_p]),
    "kneo_login": (RESPONSE, [CLIENT, c_char_p, c_char_p, c_char_p, c_char_p]),
    "kneo_session_2fa": (RESPONSE, [CLIENT, c_char_p]),
    "kneo_totp_generate": (RESPONSE, [c_char_p]),
    "kneo_session_info": (RESPONSE, [CLIENT]),
    "kneo_logout": (RESPONSE, [CLIENT]),
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
    """A call that was not OK; it carries the status and both JSON texts."""

    def __init__(self, status, message, json_text, redacted):
        super().__init__(message)
        self.status = status
        self.json = json_text
        self.redacted = redacted


class Reply:
    """What a call gave back, copied out of the library."""

    def __init__(self, lib, raw):
        try:
            self.status = lib.kneo_response_status(raw)
            size = lib.kneo_response_json_len(raw)
            self.json = ctypes.string_at(lib.kneo_response_json(raw), size).decode("utf-8")
            self.redacted = lib.kneo_response_redacted(raw).decode("utf-8")
            message = lib.kneo_response_message(raw).decode("utf-8")
        finally:
            lib.kneo_response_free(raw)
        if self.status != KNEO_OK:
            raise Error(self.status, message, self.json, self.redacted)

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

    def __init__(self, lib, config_json=None):
        self._lib = lib
        self._handle = CLIENT()
        Reply(lib, lib.kneo_client_open(text("config_json", config_json), byref(self._handle)))

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

    def session_info(self):
        return Reply(self._lib, self._lib.kneo_session_info(self._handle))

    def logout(self):
        return Reply(self._lib, self._lib.kneo_logout(self._handle))


def show(operation, call):
    """Run one call and print its line, whether it is done or raises."""
    try:
        reply = call()
    except Error as error:
        print(f"{operation}: {error.status} {error.redacted}", flush=True)
        raise
    print(f"{operation}: {reply.status} {reply.redacted}", flush=True)


def totp_of_now(lib):
    """The six digits: given, or made from the secret."""
    given = os.environ.get("KNEO_TOTP")
    if given:
        return given
    secret = text("KNEO_TOTP_SECRET", os.environ.get("KNEO_TOTP_SECRET"))
    return json.loads(Reply(lib, lib.kneo_totp_generate(secret)).json)["totp"]


def log_in(lib, way):
    variable = os.environ.get
    with Client(lib, variable("KNEO_CONFIG")) as client:
        mobile_number = variable("KNEO_MOBILE_NUMBER")
        if way == "totp":
            totp = totp_of_now(lib)
            show("totp_login", lambda: client.totp_login(mobile_number, variable("KNEO_UCC"), totp))
            show("totp_validate", lambda: client.totp_validate(variable("KNEO_MPIN")))
        elif way == "password":
            show("login", lambda: client.login(variable("KNEO_PASSWORD"), mobile_number=mobile_number))
            show("session_2fa", lambda: client.session_2fa(variable("KNEO_OTP")))
        else:
            raise ValueError("usage: login.py [totp|password]")
        show("session_info", client.session_info)
        show("logout", client.logout)


def main():
    lib = load()
    ok = True
    try:
        log_in(lib, sys.argv[1] if len(sys.argv) > 1 else "totp")
    except (Error, ValueError) as error:
        print(error, file=sys.stderr)
        ok = False
    if lib.kneo_shutdown(5000) != KNEO_OK:
        print("the library's threads did not end in time", file=sys.stderr)
        ok = False
    live = lib.kneo_live_handles()
    print(f"live handles: {live}")
    return 0 if ok and live == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

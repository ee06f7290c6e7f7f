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

import os
import sys
from pathlib import Path

# The binding lies in its own folder. It is one file, to be copied.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings" / "python"))
import kotak_neo


def show(operation, call):
    """Run one call and print its line, whether it is done or raises."""
    try:
        reply = call()
    except kotak_neo.Error as error:
        print(f"{operation}: {error.status} {error.redacted}", flush=True)
        raise
    print(f"{operation}: {reply.status} {reply.redacted}", flush=True)


def log_in(lib, way):
    variable = os.environ.get
    with kotak_neo.Client(lib, variable("KNEO_CONFIG")) as client:
        mobile_number = variable("KNEO_MOBILE_NUMBER")
        if way == "totp":
            totp = kotak_neo.totp_of_now(lib)
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
    lib = kotak_neo.load()
    ok = True
    try:
        log_in(lib, sys.argv[1] if len(sys.argv) > 1 else "totp")
    except (kotak_neo.Error, ValueError) as error:
        print(error, file=sys.stderr)
        ok = False
    return kotak_neo.finish(lib, ok)


if __name__ == "__main__":
    sys.exit(main())

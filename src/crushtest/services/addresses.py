"""Addresses of services, and the keys that may be sent there."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from crushtest.errors import ModelError


class Address(NamedTuple):
    """Where a model is served.

    base   up to `/v1`, without a slash at its end
    model  the model's name at that address, after `#`; None if there is one model only
    """

    base: str
    model: str | None

    @property
    def root(self) -> str:
        """The address without `/v1`, below which servers have requests of their own."""
        return self.base.removesuffix("/v1")


def is_address(model: str) -> bool:
    """Return True for `http://...` and `https://...`."""
    return model.lower().startswith(("http://", "https://"))


def parse_address(model: str) -> Address:
    """Return the parts of `http://host:8000/v1#name`. Raises ModelError for anything else, and for a password in it."""
    try:
        parts = urlsplit(model)
        _ = parts.port  # read here for the ValueError of one that is no number
    except ValueError:
        # Without the address: what cannot be split may hold a password.
        raise ModelError(
            "model: the address has a host or a port that cannot be read; one such as http://localhost:8000/v1#name is "
            "needed"
        ) from None
    if not is_address(model) or not parts.hostname:
        raise ModelError(f"model {model!r}: an address is needed, such as http://localhost:8000/v1#name")
    if parts.username or parts.password or parts.query:
        raise ModelError(
            f"model at {parts.hostname}: an address must hold no password and no query; keys are read from the "
            "environment"
        )
    base = parts._replace(fragment="").geturl().rstrip("/")
    return Address(base, parts.fragment or None)


def is_local(base: str) -> bool:
    """Return True if an address is this machine's own: localhost, 127.*, ::1."""
    host = urlsplit(base).hostname or ""
    return host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdecimal())


def key_for(base: str, variable: str, *, required: bool) -> str | None:
    """Return the key that an environment variable holds; None if it holds none.

    Raises ModelError for a required key that is not there, and for one that would cross a network unencrypted.
    """
    key = read_key(variable, base)
    if not key:
        if required:
            raise ModelError(f"{base}: set the environment variable {variable} to your key")
        return None
    if urlsplit(base).scheme != "https" and not is_local(base):
        raise ModelError(f"{base}: the key in {variable} is not sent over plain http to another machine; use https")
    return key


def read_key(variable: str, where: str) -> str:
    """Return the key that an environment variable holds, empty if it holds none.

    Raises ModelError for a name that no variable has, which may be a key given by mistake and is not repeated, and for
    a key that cannot be sent.
    """
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", variable):
        raise ModelError(
            f"{where}: key_variable names an environment variable: letters, digits and _ (it is not shown)"
        )
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ModelError(f"{where}: the key in {variable} holds characters that no key has")
    return key

"""What callers may say of the network."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx

from . import _wharfie
from ._driver import Question
from ._http import request_timeout
from .errors import _of_json

#: A user and a password.
Login: TypeAlias = tuple[str, str]
#: Is asked with the registry and the repository, once that wants credentials; `None` if there are none.
AskLogin: TypeAlias = Callable[[str, "str | None"], "Login | None"]
#: The same, to be awaited.
AskLoginAsync: TypeAlias = Callable[[str, "str | None"], "Awaitable[Login | None]"]
Credentials: TypeAlias = "Login | AskLogin | AskLoginAsync | None"


@dataclass
class Network:
    """How registries are spoken to."""

    credentials: Credentials = None
    client: httpx.Client | httpx.AsyncClient | None = None
    insecure: bool = False
    timeout: float = 30.0
    retries: int = 5
    jobs: int = 6
    #: Where credentials that do not work were found, and why they do not.
    broken: list[tuple[str, str]] = field(default_factory=list)

    def session(self) -> str:
        """The machine's options."""
        return json.dumps(
            {
                "userAgent": f"wharfie-python/{_wharfie.VERSION}",
                "seed": random.getrandbits(48),
                "retries": self.retries,
                "timeout": self.timeout,
                "jobs": self.jobs,
                "insecure": self.insecure,
                "own": _wharfie.own_platform(),
            }
        )

    def transport(self) -> httpx.Timeout:
        """The transport's part of the timeout."""
        return request_timeout(self.timeout)


def given_credentials(found: Any) -> str | None:
    """What a caller's function answered, for the machine."""
    if found is None:
        return None
    user, password = found
    return json.dumps({"username": user, "password": password})


def found_credentials(network: Network, question: Question) -> str | None:
    """What was given, else what docker and podman keep. What was given is for the image's own registry alone."""
    given = network.credentials
    if isinstance(given, tuple) and question.stands_for is None:
        return given_credentials(given)
    found, broken = _wharfie.find_credentials(question.registry, question.repository)
    network.broken += broken
    return found


def option_error(reason: str) -> Exception:
    """A wrong option."""
    return _of_json(_wharfie.make_option_error(reason))


def store_dir(store: str | os.PathLike[str] | None) -> str | None:
    """Where images are kept; nothing for the usual place."""
    return None if store is None else os.fspath(store)


def _patterns(said: Any) -> list[list[int]]:
    """Patterns for paths, as the bytes that they are."""
    if isinstance(said, str | bytes | os.PathLike):
        said = [said]
    return [list(os.fsencode(pattern)) for pattern in said]


def root_options(include: Any, exclude: Any, **more: Any) -> str:
    """What is chosen about a root, for the native part; what is `None` is left out."""
    said = {"include": _patterns(include), "exclude": _patterns(exclude), **more}
    return json.dumps({name: value for name, value in said.items() if value is not None})

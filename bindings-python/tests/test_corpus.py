"""The corpus in `testdata/`, which every host runs through its own boundary."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from conftest import TESTDATA

from wharfie import _wharfie

INPUTS = {"input", "wanted", "offered", "text", "fields", "content_type", "body"}
FILES = ["references", "platforms", "digests", "sources", "media-types", "challenges", "manifests"]


def cases() -> list[Any]:
    found = []
    for file in FILES:
        for kind, listed in tomllib.loads((TESTDATA / f"{file}.toml").read_text()).items():
            for at, case in enumerate(listed):
                found.append(pytest.param(file, kind, case, id=f"{file}.{kind}-{at}"))
    return found


def test_there_are_cases() -> None:
    assert len(cases()) > 300


@pytest.mark.parametrize(("file", "kind", "case"), cases())
def test_the_corpus_is_answered_as_it_says(file: str, kind: str, case: dict[str, Any]) -> None:
    answer = json.loads(_wharfie.probe(f"{file}.{kind}", json.dumps(case)))
    # Where it is no expected field it is what the case is called.
    inputs = INPUTS | ({"name"} if file in ("challenges", "manifests") else set())
    wanted = {key: value for key, value in case.items() if key not in inputs}
    assert answer.keys() <= case.keys()
    for key, value in wanted.items():
        if key == "reason":
            assert value in answer[key]
        else:
            assert answer[key] == value, key

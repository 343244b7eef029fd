"""The core's errors are Python's classes, each its own."""

from __future__ import annotations

import copy
import importlib.util
import pickle
from pathlib import Path

import pytest

import wharfie
from wharfie import _wharfie, errors

HERE = Path(__file__).parent


@pytest.mark.parametrize("code", _wharfie.error_codes())
def test_every_code_has_a_class_that_is_exported_and_said_what_it_means(code: str) -> None:
    kind = errors._class_of(code)
    assert kind.code == code
    assert issubclass(kind, wharfie.WharfieError)
    assert kind.__doc__, "run make_errors.py"
    assert getattr(wharfie, kind.__name__) is kind
    assert kind.__name__ in wharfie.__all__


def test_there_are_no_others() -> None:
    kinds = wharfie.WharfieError.__subclasses__()
    assert sorted(kind.code for kind in kinds) == sorted(_wharfie.error_codes())
    assert len({kind.__name__ for kind in kinds}) == len(kinds)


def test_the_classes_are_as_core_has_them() -> None:
    made = importlib.util.spec_from_file_location("make_errors", HERE.parent / "make_errors.py")
    assert made is not None and made.loader is not None
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    source = (HERE.parent.parent / "core" / "src" / "error.rs").read_text()
    assert module.classes(source) in Path(errors.__file__).read_text(), "run make_errors.py"


def test_python_has_a_word_for_some() -> None:
    assert issubclass(wharfie.NotFoundError, FileNotFoundError)
    assert issubclass(wharfie.PathNotFoundError, FileNotFoundError)
    assert issubclass(wharfie.PermissionDeniedError, PermissionError)
    assert issubclass(wharfie.InvalidReferenceError, ValueError)
    assert issubclass(wharfie.TimedOutError, TimeoutError)


def test_an_error_says_what_where_and_what_to_do() -> None:
    with wharfie.Image.open("sample:") as image, pytest.raises(FileNotFoundError) as caught:
        image.read_bytes("/etc/os-releas")
    error = caught.value
    assert isinstance(error, wharfie.PathNotFoundError)
    assert error.code == "path_not_found"
    assert (error.path, error.nearest, error.similar) == ("/etc/os-releas", "/etc", None)
    assert error.place["image"] == "sample:"
    assert error.hint is not None
    assert error.__notes__ == [f"hint: {error.hint}"]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.facts, again.hint) == (
        type(error),
        str(error),
        error.facts,
        error.hint,
    )
    assert copy.copy(error).place == error.place


def test_spans_are_seconds() -> None:
    error = errors._of_value({"code": "rate_limited", "message": "m", "facts": {"retry_after": 7.5}})
    assert isinstance(error, wharfie.RateLimitedError)
    assert error.retry_after == 7.5


def test_a_wrong_name_is_a_value_error() -> None:
    with pytest.raises(ValueError) as caught:
        wharfie.Image.open("alpine:@")
    assert isinstance(caught.value, wharfie.InvalidReferenceError)
    with pytest.raises(wharfie.UnsupportedTransportError):
        wharfie.Image.open("docker-daemon:app")

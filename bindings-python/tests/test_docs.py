"""What the docs show runs."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import wharfie
from wharfie import aio, errors, image, progress

README = Path(__file__).parent.parent / "README.md"


def test_the_readme_works_when_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(code) == 1
    monkeypatch.chdir(tmp_path)
    exec(compile(code[0], str(README), "exec"), {})
    assert "/etc/os-release" in capsys.readouterr().out
    assert (tmp_path / "rootfs.tar.gz").is_file()


@pytest.mark.parametrize("module", [wharfie, aio, errors, image, progress], ids=lambda module: module.__name__)
def test_examples_run(module: ModuleType) -> None:
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0
    assert results.attempted > 0


@pytest.mark.parametrize("module", [wharfie, aio, progress], ids=lambda module: module.__name__)
def test_everything_public_is_documented(module: ModuleType) -> None:
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    for name in names:
        found = getattr(module, name)
        if not getattr(found, "__module__", "").startswith("wharfie"):
            continue
        if inspect.isclass(found) or inspect.isfunction(found):
            assert found.__doc__, name
        if inspect.isclass(found):
            for member, value in vars(found).items():
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    assert value.__doc__, f"{name}.{member}"

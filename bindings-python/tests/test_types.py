"""Types: those of a program that uses it, and the stub against what it is the stub of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run(*arguments: str, folder: Path) -> None:
    checked = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_consumer_passes_the_strict_checker(tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text((HERE / "consumer.py").read_text())
    run("mypy", "--strict", "consumer.py", folder=tmp_path)


def test_a_consumer_that_is_wrong_does_not(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "import wharfie\nimage = wharfie.Image.open('a', platfrom='b')\nx: int = image.read_bytes('c')\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "wrong.py"], capture_output=True, text=True, cwd=tmp_path
    )
    assert "platfrom" in checked.stdout and "Incompatible types" in checked.stdout


def test_the_package_passes_the_strict_checker(tmp_path: Path) -> None:
    run("mypy", "--strict", "-p", "wharfie", folder=tmp_path)


def test_the_stub_is_that_of_the_native_part(tmp_path: Path) -> None:
    run("mypy.stubtest", "wharfie._wharfie", folder=tmp_path)

"""The command line that comes with the wheel."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import TESTDATA, command
from images import noise
from server import World, hang_after
import threading
from images import image


def test_both_names_are_the_command_line() -> None:
    version = command("--version").stdout
    assert version.startswith(b"wharfie ")
    module = [sys.executable, "-m", "wharfie"]
    assert subprocess.run([*module, "--version"], capture_output=True).stdout == version
    assert command("cat", "sample:", "/etc/os-release").stdout.startswith(b"NAME=")


def test_exit_statuses(tmp_path: Path) -> None:
    assert command("cat", "sample:", "/nothing", check=False).returncode == 1
    assert command("--no-such-option", check=False).returncode == 2
    wrong = command("inspect", "alpine:@", check=False)
    assert wrong.returncode == 2 and b"error:" in wrong.stderr
    assert command("--help").returncode == 0


def test_a_reader_that_goes_is_no_failure() -> None:
    run = subprocess.run(
        f"{sys.executable} -m wharfie ls -R sample: | head -1", shell=True, capture_output=True, timeout=60
    )
    assert run.stdout == b"/\n" and b"rror" not in run.stderr


def test_ctrl_c_ends_it_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    made = image({"big": noise(3_000_000)})
    reached, go_on = threading.Event(), threading.Event()
    with World(made) as world:
        world.fault("/blobs/" + made.layers[0], hang_after(1_000_000, made.blobs[made.layers[0]], reached, go_on))
        out = tmp_path / "out.tar"
        process = subprocess.Popen(
            [sys.executable, "-m", "wharfie", "export", "--store", tmp_path / "s", world.name, "-o", out],
            stderr=subprocess.PIPE,
        )
        assert reached.wait(30)
        time.sleep(0.2)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert time.monotonic() - begun < 2
        go_on.set()
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("s", "home", "store")] == []


def test_archives_are_found() -> None:
    assert (TESTDATA / "sample").is_dir()

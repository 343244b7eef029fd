"""The hard stacks of `testdata/stacks`: every rule of layers, as Python shows it."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import stacks
from images import CONFIG, MANIFEST, digest

import wharfie

LAYER = "application/vnd.oci.image.layer.v1.tar"
CASES = stacks.cases()
#: What no option of a user's reaches.
CLOSED = [name for name, case in CASES if "limits" in case]


def plain(blob: bytes) -> bytes | None:
    """A layer's tar, where it can be had."""
    try:
        if blob[:2] == b"\x1f\x8b":
            return gzip.decompress(blob)
        if blob[:4] == b"\x28\xb5\x2f\xfd" or blob[1:4] == b"\x2a\x4d\x18":
            run = subprocess.run(["zstd", "-dcq"], input=blob, capture_output=True, check=True)
            return run.stdout
    except (OSError, EOFError, subprocess.CalledProcessError):
        return None
    return blob


def media_type(blob: bytes) -> str:
    """What is true of it."""
    if blob[:2] == b"\x1f\x8b":
        return LAYER + "+gzip"
    return LAYER + ("+zstd" if blob[:4] == b"\x28\xb5\x2f\xfd" or blob[1:4] == b"\x2a\x4d\x18" else "")


def layout(case: dict[str, Any], folder: Path) -> Path:
    """An OCI layout of the stack; schema 1's kind of image, without `diff_ids`, if the case lists none."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def keep(data: bytes, name: str | None = None) -> str:
        kept = name or digest(data)
        path = folder / "blobs" / kept.replace(":", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return kept

    layers, right, blobs = [], [], []
    for layer in case["layers"]:
        data = stacks.blob(layer)
        said = layer if isinstance(layer, dict) else {}
        name = keep(data, said.get("digest"))
        layers.append(
            {"mediaType": said.get("media_type", media_type(data)), "digest": name, "size": said.get("size", len(data))}
        )
        tar = plain(data)
        # Of what cannot be decoded nobody comes as far as to compare it.
        right.append(digest(tar if tar is not None else data))
        blobs.append(name)
    said = case.get("diff_ids", ["layer"] * len(layers))
    diff_ids = [
        right[at] if text == "layer" else blobs[at] if text == "blob" else text for at, text in enumerate(said)
    ]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    raw = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": keep(raw), "size": len(raw)},
        "layers": layers,
    }
    raw = json.dumps(manifest).encode()
    entry = {"mediaType": MANIFEST, "digest": keep(raw), "size": len(raw)}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return folder


def chosen(case: dict[str, Any]) -> dict[str, Any]:
    """The options of an export."""
    options: dict[str, Any] = {}
    for key in ("include", "exclude"):
        if key in case:
            options[key] = [stacks.raw(pattern) for pattern in case[key]]
    for key in ("uid_map", "gid_map", "keep_directory_symlink"):
        if key in case:
            options[key] = case[key]
    return options


KINDS = {"dir": "directory", "symlink": "symlink", "char": "char", "block": "block", "fifo": "fifo", None: "file"}


def wanted(case: dict[str, Any]) -> dict[bytes, tuple[Any, ...]]:
    """What each path of the tree is."""
    by_path = {entry["path"]: entry for entry in case["tree"]}
    found = {}
    for entry in case["tree"]:
        one = by_path[entry["same"]] if "same" in entry else entry
        kind = KINDS[one.get("type")]
        mode = one.get("mode", stacks.KINDS[one.get("type")])
        seconds = one.get("mtime", 0 if one.get("implied") else 1000)
        size = len(stacks.content(one)) if kind == "file" else 0
        target = stacks.link(one) if kind == "symlink" else None
        device = (one.get("major", 0), one.get("minor", 0)) if kind in ("char", "block") else None
        found[b"/" + stacks.raw(entry["path"])] = (
            kind,
            mode,
            one.get("uid", 0),
            one.get("gid", 0),
            seconds * 10**9 + one.get("nanos", 0),
            size,
            target,
            device,
            bool(one.get("xattrs")),
        )
    return found


def shown(file: wharfie.File) -> tuple[Any, ...]:
    """The same of what is shown."""
    target = None if file.target is None else file.target.encode("utf-8", "surrogateescape")
    return (
        file.type,
        file.mode,
        file.uid,
        file.gid,
        file.mtime_ns,
        file.size,
        target,
        file.device,
        file.has_xattrs,
    )


def names(tar: bytes) -> list[str]:
    """The names of a tar in order, links as `name -> target`."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r|") as opened:
        for entry in opened:
            name = entry.name + ("/" if entry.isdir() else "")
            found.append(f"{name} -> {entry.linkname}" if entry.islnk() else name)
    return found


def test_there_are_cases() -> None:
    assert len(CASES) > 280 and len(CLOSED) < 40


@pytest.mark.parametrize(("about", "case"), CASES, ids=[f"{about}: {case['name']}" for about, case in CASES])
def test_stacks(about: str, case: dict[str, Any], tmp_path: Path) -> None:
    if "limits" in case:
        pytest.skip("limits are core's own")
    if shutil.which("zstd") is None and any(plain(stacks.blob(layer)) is None for layer in case["layers"]):
        pytest.skip("zstd is not installed")
    options = chosen(case)
    before = set(tmp_path.iterdir())
    with wharfie.Image.open(layout(case, tmp_path / "layout")) as opened:
        if "error" in case:
            with pytest.raises(wharfie.WharfieError) as caught:
                opened.export(tmp_path / "out.tar", **options)
            error = caught.value
            assert error.code == case["error"]
            if "limit" in case:
                assert error.facts["limit"] == case["limit"]
            place = case.get("place", {})
            if "at" in case:
                place = {"layer": case["at"][0], "entry": case["layers"][case["at"][0]][case["at"][1]]["path"]}
            for key in ("layer", "byte"):
                if key in place:
                    assert error.place[key] == place[key]
            with pytest.raises(wharfie.WharfieError) as again:
                opened.export(io.BytesIO(), **options)
            assert again.value.code == case["error"]
            assert set(tmp_path.iterdir()) - before <= {tmp_path / "layout", tmp_path / "store", tmp_path / "home"}
            return
        tar = io.BytesIO()
        report = opened.export(tar, **options)
        opened.export(tmp_path / "out.tar", **options)
        assert (tmp_path / "out.tar").read_bytes() == tar.getvalue()
        if "order" in case:
            assert names(tar.getvalue()) == case["order"]
        assert len(report.warnings) == len(case.get("warnings", [])) + len(case.get("mismatched", []))
        canonical = io.BytesIO()
        opened.export(canonical, order="canonical", **options)

        # What Python's tarfile makes of odd headers that went through untouched is its own affair.
        assert len(names(canonical.getvalue())) == len(names(tar.getvalue())) == report.entries
        if options:
            # The tree that files are listed of is that of the whole image: what is chosen shows in the tar alone.
            files = tarred(tar.getvalue(), tmp_path)
        else:
            files = {file.raw_path: shown(file) for file in opened.files()}
            assert_content(case, opened)
        # The root is listed always, and shown only where a layer has an entry for it.
        found = wanted(case)
        if b"/" not in found:
            files.pop(b"/", None)
        assert files == found


def tarred(tar: bytes, folder: Path) -> dict[bytes, tuple[Any, ...]]:
    """What a flattened tar shows: as an image of one layer."""
    one = {"layers": [{"blob": str(folder / "flat.tar")}]}
    (folder / "flat.tar").write_bytes(tar)
    with wharfie.Image.open(layout(one, folder / "flat")) as opened:
        return {file.raw_path: shown(file) for file in opened.files()}


def assert_content(case: dict[str, Any], opened: wharfie.Image) -> None:
    """Every file has its content, and names of one file are one."""
    files = {file.raw_path: file for file in opened.files()}
    for entry in case["tree"]:
        path = b"/" + stacks.raw(entry["path"])
        if "same" in entry:
            assert files[path].inode == files[b"/" + stacks.raw(entry["same"])].inode
        elif entry.get("type") is None:
            assert files[path].read_bytes() == stacks.content(entry)

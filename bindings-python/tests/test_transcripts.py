"""`testdata/transcripts/client.toml`, whose head says what its lines mean, against the machine as Python has it."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from conftest import TESTDATA

from wharfie._wharfie import Session

CASES = tomllib.loads((TESTDATA / "transcripts" / "client.toml").read_text())["case"]


def line(output: dict[str, Any]) -> str:
    """One line for an output."""
    match output["output"]:
        case "wait":
            until = output.get("until")
            return "wait never" if until is None else f"wait {until}"
        case "abort":
            return f"abort {output['id']}"
        case "start":
            said = f"start {output['id']} {output['method']} {output['url']}"
            for name, value in output["headers"]:
                if name.lower() == "authorization":
                    said += f" authorization={value.split(' ')[0]}"
                if name.lower() == "range":
                    said += f" range={value}"
            return said + (" insecure" if output["tls"] == "accept_any" else "")
    return event(output)


def event(said: dict[str, Any]) -> str:
    """One line for an event."""
    descriptor = said.get("descriptor", {})
    match said["event"]:
        case "resolved" | "document" as kind:
            return f"{kind} {descriptor['digest']} {descriptor['size']}"
        case "need":
            return f"need {said['blob']} {descriptor['digest']}" + (" document" if said["document"] else "")
        case "blob_verified":
            return f"verified {said['blob']} {said['digest']} {said['size']}"
        case "blob_rewound":
            return f"rewound {said['blob']} {said['to']} {said['reason']['code']}"
        case "need_credentials":
            return f"need-credentials {said['id']} {said['registry']} {said.get('repository', '-')}"
        case "token_issued":
            return f"token {said['registry']} {said['scope']} {round(said['expiresIn'] * 1000)}"
        case "retrying":
            code = said["reason"]["code"]
            return f"retrying {said.get('blob', '-')} {said['host']} {said['attempt']} {code}"
        case "described":
            layers = sum(len(image["layers"]) for image in said["pulled"]["images"])
            return f"described {said['job']} {said['pulled']['top']['digest']} {layers}"
        case "listed":
            return "listed " + " ".join(said["names"])
        case "finished":
            if "error" in said:
                return f"finished {said['job']} {said['error']['code']}"
            ok = said["ok"]
            end = f"listed {ok['names']}" if ok["kind"] == "listed" else ok["kind"]
            return f"finished {said['job']} {end}"
    raise AssertionError(said)


class Run:
    """One transcript."""

    def __init__(self) -> None:
        self.session = Session("")
        self.now = 0
        self.outputs: list[str] = []
        self.answer: str | None = None

    def input(self, text: str) -> None:
        session, now = self.session, self.now
        verb, _, rest = text.partition(" ")
        first, _, tail = rest.partition(" ")
        if verb != "timeout-due":
            self.outputs = [said for said in self.outputs if not said.startswith("wait ")]
        match verb:
            case "pull":
                session.pull(now, first, json.dumps({"depth": tail}))
            case "blob":
                session.pull_blob(now, first)
            case "tags":
                session.tags(now, first, "")
            case "head":
                status, *fields = tail.split(" | ")
                headers = [(name, value.encode()) for name, _, value in (f.partition(": ") for f in fields)]
                plan = json.loads(session.handle_head(now, int(first), int(status), headers))
                self.answer = plan["plan"]
                if plan["plan"] == "store":
                    self.answer = f"store {plan['blob']} {plan['offset']} {plan['skip']}"
            case "body":
                self.answer = "continue" if session.handle_body(now, int(first), tail.encode()) else "stop"
            case "stored":
                self.answer = "continue" if session.handle_stored(now, int(first), int(tail)) else "stop"
            case "hashed":
                session.hash(now, int(first), tail.encode())
            case "end":
                session.handle_end(now, int(first))
            case "failure":
                session.handle_failure(now, int(first), tail, "")
            case "fetch":
                session.fetch(now, int(first), int(tail))
            case "skip":
                session.skip(now, int(first))
            case "cancel":
                session.cancel(now, int(first))
            case "timeout":
                session.handle_timeout(now)
            case "timeout-due":
                self.now = int(self.outputs[-1].removeprefix("wait "))
                session.handle_timeout(self.now)
            case "credentials":
                user, _, password = tail.partition(" ")
                found = None if tail == "none" else json.dumps({"username": user, "password": password})
                session.credentials(now, int(first), found)
            case _:
                raise AssertionError(text)

    def output(self) -> str:
        self.outputs = [said for said in self.outputs if not said.startswith("wait ")]
        self.outputs += map(line, json.loads(self.session.poll()))
        return self.outputs[0] if len(self.outputs) == 1 else self.outputs.pop(0)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_transcripts_hold_to_the_letter(case: dict[str, Any]) -> None:
    run = Run()
    for at, step in enumerate(case["steps"]):
        kind, _, text = step.partition(" ")
        match kind:
            case "@":
                run.now = int(text)
            case "<":
                run.input(text)
            case "=":
                assert run.answer == text, at
            case ">":
                assert run.output() == text, at

"""Starts the real program in front of the provider of `upstream.py`, with the default local model beside it."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import upstream

LOCAL = "smollm2-135m-instruct"


def configuration(base_url):
    def remote(name, **more):
        return {"name": name, "provider": "proper", "context_window": 32768, "tools": True, "json_schema": True, **more}

    return {
        "schema_version": 1,
        "server": {"listen": "127.0.0.1:0"},
        "admin": {"listen": "127.0.0.1:0"},
        "keys": {"required": "always", "file": "keys.json"},
        "providers": {"proper": {"base_url": base_url}},
        "models": [
            {"name": LOCAL, "local": {"catalogue": LOCAL}, "context_window": 2048, "tools": True, "json_schema": True, "tags": ["private"]},
            remote("proper"),
            remote("bad-request"),
            remote("busy"),
            remote("embedder", kind="embedding"),
            {"name": "pointsman-router", "router": True, "context_window": 512},
        ],
        "router": {"deadline": "1s"},
        "policies": "policies",
        "resilience": {"attempts": 1},
        "accounting": {"ledger": "ledger.sqlite"},
        "data_dir": os.environ["POINTSMAN_DATA_DIR"],
    }


POLICY = {"schema_version": 1, "candidates": [LOCAL], "strategy": {"quality_cost": {}}}


class Gateway:
    """A running gateway; leaving the `with` block ends it."""

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.TemporaryDirectory()
        self.file = pathlib.Path(self.folder.name, "pointsman.yaml")

    def __enter__(self):
        policies = self.file.parent / "policies"
        policies.mkdir()
        (policies / "default.yaml").write_text(json.dumps(POLICY))
        self.file.write_text(json.dumps(configuration(upstream.start())))
        made = self.run("keys", "--config", self.file, "--format", "json", "create", "sdk")
        self.key = json.loads(made)["key"]
        self.log = open(self.file.parent / "log", "w+")
        self.process = subprocess.Popen(
            [self.program, "serve", "--config", self.file], stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.url = self.address("listening on ") + "/v1"
        self.admin = self.address("admin on ")
        self.wait_until_ready()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.folder.cleanup()

    def run(self, *arguments):
        return subprocess.run([self.program, *arguments], check=True, capture_output=True, text=True).stdout

    def address(self, words):
        for line in self.process.stdout:
            found = re.search(re.escape(words) + r"(http://[0-9.:]+)", line)
            if found:
                return found[1]
        self.log.seek(0)
        raise SystemExit(f"the gateway did not start:\n{self.log.read()}")

    def wait_until_ready(self, seconds=120):
        """Waits until the local model has been loaded."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.admin}/readyz") as answer:
                    state = json.load(answer)
            except urllib.error.HTTPError as error:
                state = json.load(error)
            local = [check for check in state["checks"] if check["name"] == f"model:{LOCAL}"]
            if state["ready"] and local and local[0]["ok"]:
                return
            time.sleep(0.2)
        raise SystemExit(f"the gateway did not become ready: {state}")

"""Scans a gateway in front of a proper provider with compatcanary: `compatibility.py PROGRAM FOLDER`."""

import os
import pathlib
import subprocess
import sys

from gateway import Gateway


def main(program, folder):
    scanner = pathlib.Path(folder, "node_modules/.bin/compatcanary")
    if not scanner.exists():
        if "CI" in os.environ:
            raise SystemExit("compatcanary is not installed; it needs node and npm")
        print("skipped: compatcanary needs node and npm")
        return
    with Gateway(program) as gateway:
        # The Responses API is not offered, so the profile is `chat`; a warning counts as a failure.
        arguments = ["scan", "--profile", "chat", "--fail-on", "any", "--model", "proper", "--base-url", gateway.url]
        scan = subprocess.run([scanner, *arguments], env={**os.environ, "OPENAI_API_KEY": gateway.key})
    sys.exit(scan.returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/python3
"""Runs clang-tidy over the project's own C files, and remembers which were clean.

usage: tests/tidy.py BUILD-FOLDER    (one with a compile_commands.json made for clang)

A file is looked at again when it, a header of ours that it includes, its compile command, .clang-tidy or clang-tidy
itself has changed. What was clean is remembered under ${XDG_CACHE_HOME:-~/.cache}/limpet/tidy.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

TIDY = os.environ.get("CLANG_TIDY", "clang-tidy-14")
KEEP_SECONDS = 30 * 24 * 3600


def own_files(build):
    """Yields (file, compile command) for every C file below core, tuning, bench and tests."""
    root = pathlib.Path.cwd()
    seen = set()
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        ours = path.is_relative_to(root) and path.relative_to(root).parts[0] in ("core", "tuning", "bench", "tests")
        if path in seen or not ours:
            continue
        seen.add(path)
        yield path, entry


def key_of(path, entry, common):
    """A hash of all that the result depends on, or None when the file does not compile."""
    command = shlex.split(entry["command"])
    output = command.index("-o")
    del command[output:output + 2]
    listing = subprocess.run([*command, "-MM", "-MF", "-", "-w"], cwd=entry["directory"], capture_output=True, text=True)
    if listing.returncode:
        return None
    digest = hashlib.sha256(common)
    # The checkout's own place must not matter: a fresh clone has the same answers.
    digest.update(entry["command"].replace(str(pathlib.Path.cwd()), "").encode())
    for name in listing.stdout.replace("\\\n", " ").split(":", 1)[1].split():
        digest.update(pathlib.Path(entry["directory"], name).read_bytes())
    return digest.hexdigest()


def check(path, entry, build, cache, common):
    key = key_of(path, entry, common)
    if key and (cache / key).exists():
        (cache / key).touch()
        return "known", ""
    result = subprocess.run([TIDY, "--quiet", "-p", str(build), str(path)], capture_output=True, text=True)
    if result.returncode:
        return "bad", result.stdout + result.stderr
    if key:
        (cache / key).touch()
    return "clean", ""


def main():
    build = pathlib.Path(sys.argv[1])
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "limpet", "tidy")
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.iterdir():
        if old.stat().st_mtime < time.time() - KEEP_SECONDS:
            old.unlink(missing_ok=True)
    common = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    for settings in (".clang-tidy", "tests/.clang-tidy", "bench/micro/.clang-tidy"):
        common += pathlib.Path(settings).read_bytes()
    counts = {"known": 0, "clean": 0, "bad": 0}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {pool.submit(check, path, entry, build, cache, common): path for path, entry in own_files(build)}
        for job in concurrent.futures.as_completed(jobs):
            outcome, text = job.result()
            counts[outcome] += 1
            print(f"{outcome}: {jobs[job].relative_to(pathlib.Path.cwd())}\n{text}", end="", flush=True)
    print("{clean} clean, {known} clean as before, {bad} with findings".format(**counts))
    return 1 if counts["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""Files as they were at a git revision."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

_SECONDS = 60


class GitError(ValueError):
    """Git is missing, or knows no such revision or file; the message is for users."""


def snapshot(file: Path, revision: str, folder: Path) -> tuple[Path, Path]:
    """Writes the TOML files of ``file``'s repository, as of ``revision``, into ``folder``.

    Returns where ``file`` is there and where the top of the repository is on disk. A registry extends others by relative paths, so all
    of them are needed. Raises GitError.
    """
    if revision.startswith("-"):
        raise GitError(f"{revision!r} is no revision")
    place = file.resolve()
    around = next(p for p in place.parents if p.is_dir())
    top = Path(_git(around, "rev-parse", "--show-toplevel").decode("utf-8", "surrogateescape").rstrip("\n"))
    inside = place.relative_to(top)
    commit = _git(
        top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", otherwise=f"no revision {revision!r}"
    )
    packed = _git(
        top, "archive", "--format=tar", commit.decode().strip(), "--", ":(glob)**/*.toml", otherwise=f"no TOML file in {revision}"
    )
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
    there = folder / inside
    if not there.is_file():
        raise GitError(f"{inside} is not in {revision}")
    return there, top


def _git(folder: Path, *words: str, otherwise: str = "") -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=_SECONDS, check=False)  # noqa: S607
    except FileNotFoundError:
        raise GitError("git is not installed; two files can be compared instead") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git took longer than {_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(otherwise or (said[-1] if said else f"git {words[0]} failed"))
    return done.stdout

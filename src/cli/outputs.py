"""Where a command writes to: looked at before any work is done."""

import contextlib
import tempfile
from pathlib import Path

from src import hosts
from src.config import InputError


def output_folder(path, flag):
    """Make a folder and try to write to it, before any work is done for it; errors are those of `make_outputs`."""
    make_outputs({flag: path})
    return Path(path)


def make_outputs(folders, files=()):
    """See that every target of a command can be written, before any work is done for one of them, and make its folder.

    Of several hosts the first one does, which alone writes.

    Args:
        folders, files: flag to path, None where there is none to write.

    Raises:
        InputError: a target cannot be written, or is two flags' at once; no folder has been made.
    """
    if not hosts.current().first:
        return
    made, seen = [], {}
    try:
        for flag, path in folders.items():
            if path is not None:
                make_folder(Path(path), flag, made)
        for flag, path in dict(files).items():
            if path is not None:
                try_file(Path(path), flag, made)
                first = seen.setdefault(Path(path).resolve(), flag)
                if first != flag:
                    raise InputError(f"`{flag}` {path}: is the file of `{first}`, too; name another one")
    except InputError:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # somebody else's file is in it by now
                folder.rmdir()
        raise


def make_folder(path, flag, made):
    """Make a folder, with those above it, which are added to `made`, and try to write to it."""
    try:
        str(path).encode()
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                made.append(folder)
        tempfile.TemporaryFile(dir=path).close()
    except UnicodeEncodeError:
        raise InputError(f"`{flag}` {str(path)!a}: a name that is not UTF-8; give another folder") from None
    except OSError as error:
        raise InputError(f"`{flag}` {path}: cannot be written ({error.strerror}); give another folder") from error


def try_file(path, flag, made):
    """Make the folder of a file, and see that the file can take its place there."""
    make_folder(path.parent, flag, made)
    if path.name != path.name.encode(errors="replace").decode():
        raise InputError(f"`{flag}` {str(path)!a}: a name that is not UTF-8; name another file")
    if path.exists() and not path.is_file():
        raise InputError(f"`{flag}` {path}: a {'folder' if path.is_dir() else 'device'}, not a file; name another one")
    try:
        tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", suffix=f"-{path.name}").close()
    except OSError as error:
        raise InputError(f"`{flag}` {path}: cannot be written ({error.strerror}); name another file") from error

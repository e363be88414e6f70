"""A report on the loopback address, by the standard library's server."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from nacd_bench.errors import UserError

HOST = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder, for this machine only; port 0 takes a free one.

    Raises:
        UserError: the port is taken.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise UserError(
            f"expected port {port} of this machine to be free: {error.strerror}. Choose another: "
            "port=8001"
        ) from error

"""A server in place of every host, which counts what it is asked for and answers like W&B's."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """Counts requests; refuses those for W&B's run where ``refuses`` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[str] = []
        self.refuses = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send everybody here."""
        proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        hosts = (*proxies, *map(str.lower, proxies), "WANDB_BASE_URL", "HF_ENDPOINT")
        local = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        return {**dict.fromkeys(hosts, self.url), **local}

    def handle_error(self, *_: object) -> None:
        """W&B's client hangs up as it likes."""


@contextmanager
def running() -> Iterator[Server]:
    """A server for the time of a test."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        asked = json.loads(data) if self.path == "/graphql" else {}
        self.server.requests.append(f"{self.command} {self.path} {asked.get('operationName', '')}")
        refused = self.server.refuses and self.server.refuses in self.server.requests[-1]
        body = json.dumps({"data": self._data(asked)}).encode()
        self.send_response(400 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = do_PATCH = do_CONNECT = answer

    def _data(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What W&B's client needs to see its log through."""
        given = asked.get("variables") or {}
        project = {"id": "p", "name": "project", "entity": {"id": "e", "name": "team"}}
        bucket = {"id": "r", "name": given.get("name"), "displayName": "r", "project": project}
        files = [
            {"name": name, "uploadUrl": f"{self.server.url}/upload/{name}"}
            for name in given.get("files", ())
        ]
        return {
            "upsertBucket": {"bucket": bucket, "inserted": True},
            "createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files},
        }

    def log_message(self, *_: object) -> None:
        pass

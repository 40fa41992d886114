"""A small server that speaks OpenAI's chat completions over HTTP, and can be made to fail."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler", str], bool]
"""Given the prompt, answers in its own way and returns True, or returns False."""


class Handler(BaseHTTPRequestHandler):
    server: ChatServer
    is_counted = False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        server = self.server
        with server.lock:
            server.calls[prompt] += 1
            server.bodies.append(body)
            server.n_now += 1
            self.is_counted = True
            server.most_at_once = max(server.most_at_once, server.n_now)
        try:
            if self.path != "/v1/chat/completions":
                self.reply(404, {"error": {"message": f"no such path {self.path}"}})
            elif self.headers["Authorization"] != f"Bearer {server.key}":
                self.reply(401, {"error": {"message": "wrong key"}})
            elif not server.fault(self, prompt):
                self.complete(server.answer(prompt))
        finally:
            self.leave()

    def leave(self) -> None:
        """Count the request as answered, once: the client may ask again as soon as it reads."""
        with self.server.lock:
            self.server.n_now -= self.is_counted
            self.is_counted = False

    def complete(self, text: str | None, *, finish: str = "stop", refusal: str | None = None):
        message = {"role": "assistant", "content": text, "refusal": refusal}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        self.reply(200, {
            "id": "1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [choice],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        })  # fmt: skip

    def reply(self, status: int, values: dict, *, headers: dict | None = None, cut: int = 0):
        self.leave()
        data = json.dumps(values).encode()
        data = data[: len(data) - cut]
        self.send_response(status)
        # The client then waits a millisecond, not half a second, before it tries again.
        for name, value in ({"retry-after-ms": "1"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


class ChatServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = "none"
        self.calls: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.n_now = self.most_at_once = 0
        self.lock = threading.Lock()
        self.fault: Fault = lambda handler, prompt: False
        self.answer: Callable[[str], str] = lambda prompt: f"answer to {prompt}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that have given up waiting


@contextmanager
def chat_server(kind: type[ChatServer] = ChatServer):
    server = kind()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

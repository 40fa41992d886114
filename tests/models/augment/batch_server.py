"""A small server with OpenAI's batch endpoint over HTTP, which can be made to fail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from tests.models.augment.chat_server import ChatServer, Handler


class BatchHandler(Handler):
    server: BatchServer

    def do_POST(self) -> None:
        if self.path not in ("/v1/files", "/v1/batches"):
            super().do_POST()
            return
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuses(self, self.path):
            return
        if self.path == "/v1/files":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = BytesParser(policy=HTTP).parsebytes(head + data).iter_parts()
            sent = {p.get_param("name", header="content-disposition"): p for p in parts}
            assert sent["purpose"].get_content().strip() == "batch"
            self.reply(200, {"id": self.server.keep(sent["file"].get_payload(decode=True))})
            return
        found = self.server.create(json.loads(data))
        if self.server.n_unheard:  # the batch was created, but the client gets an error
            self.server.n_unheard -= 1
            self.reply(500, {"error": {"message": "gateway"}})
        else:
            self.reply(200, found)

    def do_GET(self) -> None:
        path, _, _ = self.path.partition("?")
        kind, _, rest = path.removeprefix("/v1/").partition("/")
        if self.server.refuses(self, path):
            return
        if kind == "files":
            data = self.server.files[rest.removesuffix("/content")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        elif not rest:
            self.reply(200, {"object": "list", "data": [*self.server.batches.values()][::-1]})
        elif rest in self.server.batches:
            self.reply(200, self.server.looked_at(rest))
        else:
            self.reply(404, {"error": {"message": f"no batch {rest}"}})


class BatchServer(ChatServer):
    """Answers a batch once it has been asked after it so many times.

    Attributes:
        n_looks: questions after a batch before it ends.
        n_unheard: next batches whose creation is answered by an error.
        paid: how often each prompt was answered at a cost.
        line: makes the line of the output file of a request, given its prompt and a good line.
        ending: the state in which batches end.
        refuses: given handler and path, answers in its own way and returns True, or returns False.
    """

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = BatchHandler
        self.n_looks, self.n_unheard = 1, 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.looks: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.line: Callable[[str, dict], Any] = lambda prompt, line: line
        self.ending = "completed"
        self.refuses: Callable[[Handler, str], bool] = lambda handler, path: False

    def keep(self, data: bytes) -> str:
        self.files[name := f"file-{len(self.files)}"] = data
        return name

    def create(self, asked: dict) -> dict:
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        name = f"batch-{len(self.batches)}"
        file = asked["input_file_id"]
        self.batches[name] = {"id": name, "input_file_id": file, "status": "validating"}
        return self.batches[name]

    def looked_at(self, name: str) -> dict:
        batch = self.batches[name]
        self.looks[name] += 1
        if batch["status"] == "validating" or self.looks[name] < self.n_looks:
            batch["status"] = "in_progress"
        if self.looks[name] >= self.n_looks and batch["status"] == "in_progress":
            self.finish(batch)
        return batch

    def finish(self, batch: dict) -> None:
        batch["status"] = self.ending
        if self.ending == "failed":
            batch["errors"] = {"data": [{"code": "bad", "message": "line 3 is not valid"}]}
            return
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            self.bodies.append(asked["body"])
            prompt = asked["body"]["messages"][0]["content"]
            choice = {
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": self.answer(prompt)},
            }
            usage = {"prompt_tokens": 7, "completion_tokens": 3}
            made = self.line(prompt, {
                "custom_id": asked["custom_id"], "error": None,
                "response": {"status_code": 200, "body": {"choices": [choice], "usage": usage}},
            })  # fmt: skip
            if made is None:
                continue
            is_good = isinstance(made, dict) and made["response"]["status_code"] == 200
            self.paid[prompt] += is_good
            (good if is_good else bad).append(made if isinstance(made, str) else json.dumps(made))
        batch["request_counts"] = {"total": len(good) + len(bad), "completed": len(good)}
        batch["output_file_id"] = self.keep("\n".join(good[::-1]).encode())
        batch["error_file_id"] = self.keep("\n".join(bad).encode()) if bad else None

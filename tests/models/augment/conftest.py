import pytest

from models.augment.writing.requests import GenerationRequest


@pytest.fixture
def server():
    pytest.importorskip("openai")
    from tests.models.augment.chat_server import chat_server

    with chat_server() as server:
        yield server


@pytest.fixture
def batch_server():
    pytest.importorskip("openai")
    from tests.models.augment.batch_server import BatchServer
    from tests.models.augment.chat_server import chat_server

    with chat_server(BatchServer) as server:
        yield server


@pytest.fixture(scope="session")
def make_request():
    def make(prompt="hello", **options):
        settings = {
            "method": "rephrase", "task": "easy", "prompt_version": "1", "source_id": "a",
            "part": 0, "document": prompt, "seed": 0, "temperature": 1.0, "n_tokens": 8,
        } | options  # fmt: skip
        return GenerationRequest(prompt=prompt, **settings)

    return make

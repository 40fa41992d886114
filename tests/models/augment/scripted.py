"""A backend that answers as a test says, and an interrupt."""

from models.augment.writing.requests import Answer, Reply


class Scripted:
    """Answers by a function of the request, and counts what it is asked."""

    name, context = "scripted", None

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def generate(self, requests):
        for request in requests:
            self.asked.append(request)
            found = self.answer(request)
            yield Answer(request, Reply(text=found) if isinstance(found, str) else found)

    def count_tokens(self, text):
        return len(text.split())


class Stop(BaseException):
    """Something that breaks in anywhere, as an interrupt does."""

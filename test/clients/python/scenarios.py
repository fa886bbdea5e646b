"""What the programs here share: where the gateway is, and how they tell what came of each scenario."""

import asyncio
import inspect
import json
import os
import time
import urllib.request

URL = os.environ["EVENKEEL_URL"]
KEY = os.environ["EVENKEEL_KEY"]
SERVICES = os.environ["EVENKEEL_SERVICES"].split()
API_VERSION = "2025-04-01-preview"

CHAT, SLOW, EMBEDDING = "gpt-4o", "gpt-slow", "text-embedding-3-small"
HELLO = "Say hello."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}


def user(text=HELLO):
    return [{"role": "user", "content": text}]


def weather(arguments):
    return f"{json.loads(arguments)['city']}: 21 degrees"


def session(name):
    """The session by which the test knows how often a scenario was asked."""
    return {"x-session-id": name}


def pieces(texts):
    texts = [text for text in texts if text]
    return {"text": "".join(texts), "pieces": len(texts)}


def in_flight():
    """Requests that the simulated services have under way, by their own account."""
    count = 0
    for url in SERVICES:
        with urllib.request.urlopen(f"{url}/++/stats") as answer:
            count += json.load(answer)["inFlight"]
    return count


def seconds_to_end():
    """How long the services go on, now that a stream was left; the whole stream takes 8 s."""
    start = time.monotonic()
    while in_flight() > 0 and time.monotonic() - start < 10:
        time.sleep(0.01)
    return time.monotonic() - start


def left(was_under_way, seconds):
    return {"wasUnderWay": was_under_way, "seconds": seconds}


def told(error):
    """An error as a program sees it, with the classes that an `except` may name."""
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    return {
        "classes": [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception)],
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "retryAfter": headers.get("retry-after"),
        "message": str(error)[:300],
    }


async def each(scenarios):
    for name, scenario in scenarios.items():
        try:
            result = scenario()
            line = {"scenario": name, "result": await result if inspect.isawaitable(result) else result}
        except Exception as error:  # what it raises is what is looked at
            line = {"scenario": name, "error": told(error)}
        print(json.dumps(line), flush=True)


def run(scenarios):
    asyncio.run(each(scenarios))


def run_sync(scenarios):
    for name, scenario in scenarios.items():
        try:
            line = {"scenario": name, "result": scenario()}
        except Exception as error:  # what it raises is what is looked at
            line = {"scenario": name, "error": told(error)}
        print(json.dumps(line), flush=True)

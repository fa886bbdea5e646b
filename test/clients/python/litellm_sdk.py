"""LiteLLM's SDK: `litellm_sdk.py openai` and `litellm_sdk.py azure`."""

import sys
import time

import litellm
from pydantic import BaseModel
from scenarios import *  # noqa: F403

litellm.suppress_debug_info = True

provider = sys.argv[1]
place = {"api_base": f"{URL}/v1"} if provider == "openai" else {"api_base": URL, "api_version": API_VERSION}
through = {**place, "api_key": KEY}
of_things = {**through, "custom_llm_provider": provider}


def named(model):
    return f"{provider}/{model}"


class Weather(BaseModel):
    city: str
    degrees: int


def complete(text=HELLO, model=CHAT, **options):
    return litellm.completion(model=named(model), messages=user(text), **{**through, **options})


def ask(name, text=HELLO, model=CHAT, **options):
    return complete(text, model, extra_headers=session(name), **options).choices[0].message.content


def stream(text=HELLO):
    return pieces(chunk.choices[0].delta.content for chunk in complete(text, stream=True) if chunk.choices)


def tools():
    messages = user("How is Rome?")
    options = {"model": named(CHAT), "tools": [TOOL], **through}
    first = litellm.completion(messages=messages, **options).choices[0].message
    messages.append(first)
    for call in first.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": weather(call.function.arguments)})
    return litellm.completion(messages=messages, **options).choices[0].message.content


def embeddings():
    answer = litellm.embedding(model=named(EMBEDDING), input=["Hello", "there"], **through)
    return [len(item["embedding"]) for item in answer.data]


def abort():
    chunks = complete(model=SLOW, stream=True)
    for chunk in chunks:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    before = in_flight()
    chunks.close() if hasattr(chunks, "close") else chunks.completion_stream.close()
    return left(before, seconds_to_end())


async def cancelled():
    task = asyncio.create_task(litellm.acompletion(model=named(SLOW), messages=user(), **through))
    while await asyncio.to_thread(in_flight) == 0:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return left(1, await asyncio.to_thread(seconds_to_end))


async def chat_async():
    answer = await litellm.acompletion(model=named(CHAT), messages=user(), **through)
    return answer.choices[0].message.content


def text_of(response):
    return "".join(part.text for item in response.output if item.type == "message" for part in item.content)


def respond(text=HELLO, model=CHAT, **options):
    return litellm.responses(model=named(model), input=text, **{**through, **options})


def responses_stream():
    return pieces(event.delta for event in respond(stream=True) if event.type == "response.output_text.delta")


def responses_unknown():
    """Of a model that it has no price of, it makes a stream itself, once all is there."""
    events = respond(model=SLOW, stream=True)
    next(iter(events))
    return in_flight()


def stored():
    made = respond()
    found = text_of(litellm.get_responses(response_id=made.id, **of_things))
    items = litellm.list_input_items(response_id=made.id, **of_things)["data"]
    litellm.delete_responses(response_id=made.id, **of_things)
    try:
        litellm.get_responses(response_id=made.id, **of_things)
    except litellm.NotFoundError as error:
        return [found, [item["type"] for item in items], error.status_code]


def background():
    first = respond(background=True)
    end = time.monotonic() + 5
    while (now := litellm.get_responses(response_id=first.id, **of_things)).status != "completed":
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    second = respond(model=SLOW, background=True)
    return [first.status, text_of(now), litellm.cancel_responses(response_id=second.id, **of_things).status]


def files():
    made = litellm.create_file(file=("lines.jsonl", b'{"a":1}\n'), purpose="batch", **of_things)
    found = litellm.file_retrieve(file_id=made.id, **of_things)
    listed = made.id in [file.id for file in litellm.file_list(**of_things)]
    return [found.filename, found.bytes, listed, litellm.file_delete(file_id=made.id, **of_things).deleted]


run({
    "chat": lambda: ask("chat"),
    "chat_async": chat_async,
    "stream": stream,
    "broken": lambda: stream("[cut]"),
    "tools": tools,
    "structured": lambda: json.loads(complete(response_format=Weather).choices[0].message.content),
    "embeddings": embeddings,
    "abort": abort,
    "cancelled": cancelled,
    "responses": lambda: text_of(respond()),
    "responses_stream": responses_stream,
    "responses_unknown": responses_unknown,
    "stored": stored,
    "background": background,
    "files": files,
    "not_found": lambda: ask("not_found", model="gpt-unknown"),
    "refused": lambda: ask("refused", "[blocked prompt]"),
    "wrong_key": lambda: ask("wrong_key", api_key="another"),
    "unavailable": lambda: ask("unavailable", "[unavailable]"),
    "responses_unavailable": lambda: respond("[unavailable]", extra_headers=session("responses_unavailable")),
    "told_to_repeat": lambda: ask("told_to_repeat", "[unavailable]", max_retries=1),
    "repeated": lambda: ask("repeated", "[unavailable]", num_retries=1),
    "responses_repeated": lambda: respond(
        "[unavailable]", extra_headers=session("responses_repeated"), num_retries=1
    ),
    # the last, since nobody is asked from then on
    "throttled": lambda: ask("throttled", "[throttle]"),
})

"""The official client: `official.py openai` and `official.py azure`."""

import sys
import time

from openai import AzureOpenAI, NotFoundError, OpenAI
from pydantic import BaseModel
from scenarios import *  # noqa: F403

made = {
    "openai": lambda key: OpenAI(base_url=f"{URL}/v1", api_key=key),
    "azure": lambda key: AzureOpenAI(azure_endpoint=URL, api_key=key, api_version=API_VERSION),
    "azure-token": lambda key: AzureOpenAI(azure_endpoint=URL, azure_ad_token=key, api_version=API_VERSION),
    "azure-deployment": lambda key: AzureOpenAI(
        azure_endpoint=URL, azure_deployment=CHAT, api_key=key, api_version=API_VERSION
    ),
}
make = made[sys.argv[1]]
client = make(KEY)


class Weather(BaseModel):
    city: str
    degrees: int


def ask(name, text=HELLO, model=CHAT, by=client):
    answer = by.chat.completions.create(model=model, messages=user(text), extra_headers=session(name))
    return answer.choices[0].message.content


def stream():
    chunks = client.chat.completions.create(model=CHAT, messages=user(), stream=True)
    return pieces(chunk.choices[0].delta.content for chunk in chunks if chunk.choices)


def stream_usage():
    chunks = client.chat.completions.create(
        model=CHAT, messages=user(), stream=True, stream_options={"include_usage": True}
    )
    return [chunk.usage.completion_tokens > 0 for chunk in chunks if chunk.usage]


def broken():
    chunks = client.chat.completions.create(model=CHAT, messages=user("[cut]"), stream=True)
    return pieces(chunk.choices[0].delta.content for chunk in chunks if chunk.choices)


def tools():
    messages = user("How is Rome?")
    first = client.chat.completions.create(model=CHAT, messages=messages, tools=[TOOL]).choices[0].message
    messages.append(first)
    for call in first.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": weather(call.function.arguments)})
    return client.chat.completions.create(model=CHAT, messages=messages, tools=[TOOL]).choices[0].message.content


def structured():
    answer = client.chat.completions.parse(model=CHAT, messages=user(), response_format=Weather)
    return answer.choices[0].message.parsed.model_dump()


def embeddings():
    answer = client.embeddings.create(model=EMBEDDING, input=["Hello", "there"])
    return [len(item.embedding) for item in answer.data]


def abort():
    chunks = client.chat.completions.create(model=SLOW, messages=user(), stream=True)
    for chunk in chunks:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    before = in_flight()
    chunks.close()
    return left(before, seconds_to_end())


def left_by_with():
    with client.chat.completions.create(model=SLOW, messages=user(), stream=True) as chunks:
        for chunk in chunks:
            break
        before = in_flight()
    return left(before, seconds_to_end())


def left_loop():
    """Without `with` it goes on after the loop, until the stream is closed."""
    chunks = client.chat.completions.create(model=SLOW, messages=user(), stream=True)
    for chunk in chunks:
        break
    time.sleep(0.5)
    before = in_flight()
    chunks.close()
    return left(before, seconds_to_end())


def timeout_repeated():
    return make(KEY).with_options(timeout=0.3, max_retries=1).chat.completions.create(
        model=SLOW, messages=user(), extra_headers=session("timeout_repeated")
    )


def timeout():
    return make(KEY).with_options(timeout=0.3, max_retries=0).chat.completions.create(model=SLOW, messages=user())


def after_timeout():
    return left(1, seconds_to_end())


def responses():
    return client.responses.create(model=CHAT, input=HELLO).output_text


def responses_stream():
    with client.responses.stream(model=CHAT, input=HELLO) as events:
        return pieces(event.delta for event in events if event.type == "response.output_text.delta")


def responses_structured():
    return client.responses.parse(model=CHAT, input=HELLO, text_format=Weather).output_parsed.model_dump()


def responses_tools():
    offered = [{"type": "function", "name": "weather", "parameters": CITY, "strict": False}]
    first = client.responses.create(model=CHAT, input="How is Rome?", tools=offered)
    given = [
        {"type": "function_call_output", "call_id": item.call_id, "output": weather(item.arguments)}
        for item in first.output
        if item.type == "function_call"
    ]
    # only the resource that made it knows it
    return client.responses.create(model=CHAT, previous_response_id=first.id, input=given, tools=offered).output_text


def responses_abort():
    events = client.responses.create(model=SLOW, input=HELLO, stream=True)
    for event in events:
        if event.type == "response.output_text.delta":
            break
    before = in_flight()
    events.close()
    return left(before, seconds_to_end())


def stored():
    made = client.responses.create(model=CHAT, input=HELLO)
    found = client.responses.retrieve(made.id).output_text
    items = [item.type for item in client.responses.input_items.list(made.id)]
    client.responses.delete(made.id)
    try:
        client.responses.retrieve(made.id)
    except NotFoundError as error:
        return [found, items, error.status_code]


def background():
    first = client.responses.create(model=CHAT, input=HELLO, background=True)
    status = first.status
    end = time.monotonic() + 5
    while (now := client.responses.retrieve(first.id)).status != "completed" and time.monotonic() < end:
        time.sleep(0.02)
    second = client.responses.create(model=SLOW, input=HELLO, background=True)
    return [status, now.output_text, client.responses.cancel(second.id).status]


def files():
    made = client.files.create(file=("lines.jsonl", b'{"a":1}\n'), purpose="batch")
    found = client.files.retrieve(made.id)
    listed = made.id in [file.id for file in client.files.list()]
    return [found.filename, found.bytes, listed, client.files.delete(made.id).deleted]


def headers():
    answer = client.chat.completions.with_raw_response.create(model=CHAT, messages=user())
    return [answer.headers["x-evenkeel-attempts"], answer.parse().choices[0].message.content]


of_chat = {
    "chat": lambda: ask("chat"),
    "stream": stream,
    "stream_usage": stream_usage,
    "broken": broken,
    "tools": tools,
    "structured": structured,
    "headers": headers,
    "not_found": lambda: ask("not_found", model="gpt-unknown"),
    "refused": lambda: ask("refused", "[blocked prompt]"),
    "wrong_key": lambda: ask("wrong_key", by=make("another")),
}
more = {
    "embeddings": embeddings,
    "abort": abort,
    "left_by_with": left_by_with,
    "left_loop": left_loop,
    "timeout_repeated": timeout_repeated,
    "timeout": timeout,
    "after_timeout": after_timeout,
    "responses": responses,
    "responses_stream": responses_stream,
    "responses_structured": responses_structured,
    "responses_tools": responses_tools,
    "responses_abort": responses_abort,
    "stored": stored,
    "background": background,
    "files": files,
    "unavailable": lambda: ask("unavailable", "[unavailable]"),
    # the last, since nobody is asked from then on
    "throttled": lambda: ask("throttled", "[throttle]"),
}

run_sync({"chat": of_chat["chat"], "wrong_key": of_chat["wrong_key"]} if "-" in sys.argv[1] else of_chat | more)

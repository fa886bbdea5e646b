"""The official client with `async`: `official_async.py openai` and `official_async.py azure`."""

import asyncio
import os
import sys

from openai import AsyncAzureOpenAI, AsyncOpenAI, NotFoundError
from pydantic import BaseModel
from scenarios import *  # noqa: F403

made = {
    "openai": lambda key: AsyncOpenAI(base_url=f"{URL}/v1", api_key=key),
    "azure": lambda key: AsyncAzureOpenAI(azure_endpoint=URL, api_key=key, api_version=API_VERSION),
}
make = made[sys.argv[1]]


class Weather(BaseModel):
    city: str
    degrees: int


async def main():
    client = make(KEY)

    async def ask(name, text=HELLO, model=CHAT, by=client):
        answer = await by.chat.completions.create(model=model, messages=user(text), extra_headers=session(name))
        return answer.choices[0].message.content

    async def stream(text=HELLO):
        chunks = await client.chat.completions.create(model=CHAT, messages=user(text), stream=True)
        return pieces([chunk.choices[0].delta.content async for chunk in chunks if chunk.choices])

    async def tools():
        messages = user("How is Rome?")
        first = (await client.chat.completions.create(model=CHAT, messages=messages, tools=[TOOL])).choices[0].message
        messages.append(first)
        for call in first.tool_calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": weather(call.function.arguments)})
        answer = await client.chat.completions.create(model=CHAT, messages=messages, tools=[TOOL])
        return answer.choices[0].message.content

    async def structured():
        answer = await client.chat.completions.parse(model=CHAT, messages=user(), response_format=Weather)
        return answer.choices[0].message.parsed.model_dump()

    async def embeddings():
        answer = await client.embeddings.create(model=EMBEDDING, input=["Hello", "there"])
        return [len(item.embedding) for item in answer.data]

    async def abort():
        """A task that is cancelled, as `asyncio.timeout` or a web framework does it."""
        heard = asyncio.Event()

        async def read():
            async for chunk in await client.chat.completions.create(model=SLOW, messages=user(), stream=True):
                if chunk.choices and chunk.choices[0].delta.content:
                    heard.set()

        task = asyncio.create_task(read())
        await heard.wait()
        before = await asyncio.to_thread(in_flight)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return left(before, await asyncio.to_thread(seconds_to_end))

    async def cancelled():
        """The same before there is any answer."""
        task = asyncio.create_task(client.responses.create(model=SLOW, input=HELLO))
        while await asyncio.to_thread(in_flight) == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return left(1, await asyncio.to_thread(seconds_to_end))

    async def comes_again():
        """Its key may have one stream at a time: it waits as it is told to, and asks again."""
        by = make(os.environ["EVENKEEL_ONE_STREAM_KEY"])
        first = await by.chat.completions.create(model=SLOW, messages=user(), stream=True)
        second = asyncio.create_task(by.chat.completions.create(model=CHAT, messages=user(), stream=True))
        await asyncio.sleep(0.3)
        waits = not second.done()
        await first.close()
        text = pieces([chunk.choices[0].delta.content async for chunk in await second if chunk.choices])["text"]
        return [waits, text]

    async def responses_stream():
        async with client.responses.stream(model=CHAT, input=HELLO) as events:
            return pieces([event.delta async for event in events if event.type == "response.output_text.delta"])

    async def stored():
        made = await client.responses.create(model=CHAT, input=HELLO)
        found = (await client.responses.retrieve(made.id)).output_text
        items = [item.type async for item in client.responses.input_items.list(made.id)]
        await client.responses.delete(made.id)
        try:
            await client.responses.retrieve(made.id)
        except NotFoundError as error:
            return [found, items, error.status_code]

    async def background():
        first = await client.responses.create(model=CHAT, input=HELLO, background=True)
        async with asyncio.timeout(5):
            while (now := await client.responses.retrieve(first.id)).status != "completed":
                await asyncio.sleep(0.02)
        second = await client.responses.create(model=SLOW, input=HELLO, background=True)
        return [first.status, now.output_text, (await client.responses.cancel(second.id)).status]

    async def files():
        made = await client.files.create(file=("lines.jsonl", b'{"a":1}\n'), purpose="batch")
        found = await client.files.retrieve(made.id)
        listed = made.id in [file.id async for file in client.files.list()]
        return [found.filename, found.bytes, listed, (await client.files.delete(made.id)).deleted]

    await each({
        "chat": lambda: ask("chat"),
        "stream": stream,
        "broken": lambda: stream("[cut]"),
        "tools": tools,
        "structured": structured,
        "embeddings": embeddings,
        "abort": abort,
        "cancelled": cancelled,
        "comes_again": comes_again,
        "responses_stream": responses_stream,
        "stored": stored,
        "background": background,
        "files": files,
        "not_found": lambda: ask("not_found", model="gpt-unknown"),
        "refused": lambda: ask("refused", "[blocked prompt]"),
        "wrong_key": lambda: ask("wrong_key", by=make("another")),
        "unavailable": lambda: ask("unavailable", "[unavailable]"),
        # the last, since nobody is asked from then on
        "throttled": lambda: ask("throttled", "[throttle]"),
    })


asyncio.run(main())

"""LangChain's `langchain-openai`: `langchain_chat.py openai` and `langchain_chat.py azure`."""

import sys

from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, AzureOpenAIEmbeddings, ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from scenarios import *  # noqa: F403

is_azure = sys.argv[1] == "azure"


def chat(model=CHAT, key=KEY, **options):
    if is_azure:
        return AzureChatOpenAI(
            azure_endpoint=URL, azure_deployment=model, api_version=API_VERSION, api_key=key, **options
        )
    return ChatOpenAI(base_url=f"{URL}/v1", model=model, api_key=key, **options)


class Weather(BaseModel):
    city: str
    degrees: int


@tool("weather")
def the_weather(city: str) -> str:
    """The weather."""
    return f"{city}: 21 degrees"


def ask(name, text=HELLO, model=CHAT, **options):
    return chat(model, default_headers=session(name), **options).invoke(text).text


def repeated():
    """Retries of LangChain's own, whose client has been told not to."""
    model = chat(default_headers=session("repeated")).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    return model.invoke("[unavailable]").text


def use_tools(model):
    bound = model.bind_tools([the_weather])
    messages = [("user", "How is Rome?")]
    first = bound.invoke(messages)
    messages.append(first)
    messages += [ToolMessage(the_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
    return bound.invoke(messages).text


def embeddings():
    # else it counts tokens by a table that it fetches from elsewhere, and sends those in place of the text
    options = {"model": EMBEDDING, "api_key": KEY, "check_embedding_ctx_length": False}
    by = (
        AzureOpenAIEmbeddings(azure_endpoint=URL, api_version=API_VERSION, **options)
        if is_azure
        else OpenAIEmbeddings(base_url=f"{URL}/v1", **options)
    )
    return [len(vector) for vector in by.embed_documents(["Hello", "there"])]


def abort():
    chunks = chat(SLOW).stream(HELLO)
    for chunk in chunks:
        if chunk.text:
            break
    before = in_flight()
    chunks.close()
    return left(before, seconds_to_end())


async def cancelled():
    heard = asyncio.Event()

    async def read():
        async for chunk in chat(SLOW).astream(HELLO):
            if chunk.text:
                heard.set()

    task = asyncio.create_task(read())
    await heard.wait()
    before = await asyncio.to_thread(in_flight)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return left(before, await asyncio.to_thread(seconds_to_end))


async def chat_async():
    return (await chat().ainvoke(HELLO)).text


def stored():
    """It names the response before, as it does in a conversation when told to."""
    model = chat(use_responses_api=True, use_previous_response_id=True)
    first = model.invoke(HELLO)
    second = model.invoke([("user", HELLO), first, ("user", HELLO)])
    return [first.text, second.text]


run({
    "chat": lambda: ask("chat"),
    "chat_async": chat_async,
    "stream": lambda: pieces(chunk.text for chunk in chat().stream(HELLO)),
    "broken": lambda: pieces(chunk.text for chunk in chat().stream("[cut]")),
    "tools": lambda: use_tools(chat()),
    "structured": lambda: chat().with_structured_output(Weather, method="json_schema").invoke(HELLO).model_dump(),
    "embeddings": embeddings,
    "abort": abort,
    "cancelled": cancelled,
    "responses": lambda: chat(use_responses_api=True).invoke(HELLO).text,
    "responses_stream": lambda: pieces(chunk.text for chunk in chat(use_responses_api=True).stream(HELLO)),
    "responses_tools": lambda: use_tools(chat(use_responses_api=True)),
    "follow_up": stored,
    "not_found": lambda: ask("not_found", model="gpt-unknown"),
    "refused": lambda: ask("refused", "[blocked prompt]"),
    "wrong_key": lambda: ask("wrong_key", key="another"),
    "unavailable": lambda: ask("unavailable", "[unavailable]"),
    "repeated": repeated,
    # the last, since nobody is asked from then on
    "throttled": lambda: ask("throttled", "[throttle]"),
})

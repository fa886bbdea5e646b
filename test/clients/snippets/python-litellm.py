from litellm import completion

messages = [{"role": "user", "content": "Say hello."}]
answer = completion(
    model="openai/gpt-4o",
    api_base="http://127.0.0.1:4000/v1",
    api_key="the-key",
    messages=messages,
    prompt_cache_key="user-42",
)
print(answer.choices[0].message.content)

# the same as to Azure
completion(
    model="azure/gpt-4o",
    api_base="http://127.0.0.1:4000",
    api_version="2025-04-01-preview",
    api_key="the-key",
    messages=messages,
    extra_headers={"x-session-id": "user-42"},
)

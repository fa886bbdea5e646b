from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:4000/v1", api_key="the-key")

answer = client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "user", "content": "Say hello."}],
    prompt_cache_key="user-42",
)
print(answer.choices[0].message.content)

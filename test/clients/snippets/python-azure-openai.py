from openai import AzureOpenAI

client = AzureOpenAI(azure_endpoint="http://127.0.0.1:4000", api_version="2025-04-01-preview", api_key="the-key")

answer = client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "user", "content": "Say hello."}],
    extra_headers={"x-session-id": "user-42"},
)
print(answer.choices[0].message.content)

from langchain_openai import AzureChatOpenAI

model = AzureChatOpenAI(
    azure_endpoint="http://127.0.0.1:4000",
    azure_deployment="gpt-4o",
    api_version="2025-04-01-preview",
    api_key="the-key",
    default_headers={"x-session-id": "user-42"},
)

answer = model.invoke("Say hello.")
print(answer.text)

from langchain_openai import ChatOpenAI

model = ChatOpenAI(base_url="http://127.0.0.1:4000/v1", api_key="the-key", model="gpt-4o")

answer = model.invoke("Say hello.", prompt_cache_key="user-42")
print(answer.text)

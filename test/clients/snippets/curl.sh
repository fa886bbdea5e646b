curl -sS http://127.0.0.1:4000/v1/chat/completions \
  -H "authorization: Bearer the-key" -H "content-type: application/json" -H "x-session-id: user-42" \
  -d '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}'

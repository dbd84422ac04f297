#!/bin/sh
# Simon Willison's `llm` over the API: a prompt, a conversation, a schema. See README.md here.
set -eu
LLM_USER_PATH=$(mktemp -d)
export LLM_USER_PATH
trap 'rm -rf "$LLM_USER_PATH"' EXIT
cat > "$LLM_USER_PATH/extra-openai-models.yaml" <<YAML
- model_id: here
  model_name: $MODEL
  api_base: $OPENAI_BASE_URL
  api_key_name: here
  supports_schema: true
  supports_tools: true
YAML
llm keys set here --value "$OPENAI_API_KEY"
test -n "$(llm -m here -o max_tokens 30 'Name three rivers.')"
test -n "$(llm -m here -o max_tokens 30 --no-stream 'Name three rivers.')"
test -n "$(llm -m here -c -o max_tokens 30 'And two more.')"
llm -m here --schema 'name, people int' 'Rome has 2800000 people.' | python3 -c 'import json, sys; print(json.load(sys.stdin)["people"] + 0)'
llm -m here --functions 'def weather(city: str) -> str:
    "The weather in a city."
    return "sunny"' -o max_tokens 60 'What is the weather in Rome?'
echo ok

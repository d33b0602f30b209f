"""What programs do with Anthropic's Python client: the scenario named as the argument, against ANTHROPIC_BASE_URL.

The model does what a directive in the prompt asks for, and answers with "echo: " and the prompt otherwise. Every answer
and event is held against the client's own types: a field that they do not have fails, and one that is missing.
"""

import json
import sys
import urllib.request

import anthropic
from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

MODEL = "claude-opus-4"
client = anthropic.Anthropic(max_retries=0, timeout=60)
WEATHER = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def user(content):
    return {"role": "user", "content": content}


def unknown_fields(value, path=""):
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            yield f"{path}.{name}"
        for name in value.model_fields_set:
            yield from unknown_fields(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from unknown_fields(item, f"{path}[{at}]")


def strict(kind, value):
    """The value as the client's type, with nothing missing and nothing unknown."""
    parsed = TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    assert list(unknown_fields(parsed)) == [], (list(unknown_fields(parsed)), value)
    return parsed


def create(**fields):
    raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=1024, **fields)
    return strict(Message, json.loads(raw.text())), raw.headers


def ten_turns():
    messages, processes = [], []
    for number in range(10):
        messages.append(user(f"turn {number}"))
        message, headers = create(messages=messages, system="You are terse.")
        processes.append(headers["x-claude-process"])
        assert [block.text for block in message.content] == [f"echo: turn {number}"], message
        assert message.stop_reason == "end_turn", message
        messages.append({"role": message.role, "content": message.content})
    assert processes[1:] == ["live"] * 9, processes


def events():
    body = {"model": MODEL, "max_tokens": 1024, "messages": [user("[[think]]")], "stream": True,
            "thinking": {"type": "adaptive", "display": "summarized"}}
    url, kinds = f"{client.base_url}".rstrip("/") + "/v1/messages?beta=true", []
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json", "x-api-key": "any"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        name = None
        for line in response.read().decode().splitlines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = json.loads(line[6:])
                assert data["type"] == name, line
                kinds.append(name)
                if name != "ping":
                    strict(RawMessageStreamEvent, data)
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], kinds
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2, kinds


def streaming():
    with client.messages.stream(model=MODEL, max_tokens=1024, messages=[user("[[count 5]]")]) as stream:
        texts = list(stream.text_stream)
        message = stream.get_final_message()
    assert texts == ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "], texts
    assert message.content[0].text == "".join(texts), message
    assert message.usage.output_tokens > 0 and message.usage.cache_read_input_tokens > 0, message.usage


def thinking_disabled():
    message, _ = create(messages=[user("hello")], thinking={"type": "disabled"})
    assert [block.type for block in message.content] == ["text"], message


def tool_loop():
    messages = [user('[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]')]
    message, _ = create(messages=messages, tools=[WEATHER])
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}], message
    assert message.stop_reason == "tool_use", message
    messages.append({"role": "assistant", "content": message.content})
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"sunny in {call.input['city']}"} for call in calls]
    messages.append(user(results))
    message, headers = create(messages=messages, tools=[WEATHER])
    assert headers["x-claude-process"] == "live", headers
    text = message.content[0].text
    assert "sunny in Oslo" in text and "sunny in Rome" in text, text


def tool_runner():
    called = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: The city.
        """
        called.append(city)
        return f"sunny in {city}"

    runner = client.beta.messages.tool_runner(
        model=MODEL, max_tokens=1024, tools=[weather], messages=[user('[[tool weather {"city": "Oslo"}]]')]
    )
    last = runner.until_done()
    assert called == ["Oslo"], called
    assert "sunny in Oslo" in last.content[0].text, last


class Person(BaseModel):
    name: str


def parse():
    message = client.messages.parse(
        model=MODEL, max_tokens=1024, messages=[user('[[json {"name": "Grace"}]]')], output_format=Person
    )
    assert message.parsed_output == Person(name="Grace"), message


def stop_sequences():
    message, _ = create(messages=[user("one STOP two")], stop_sequences=["STOP"])
    assert message.content[0].text == "echo: one ", message
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP"), message


def count_tokens():
    raw = client.messages.with_raw_response.count_tokens(model=MODEL, messages=[user("hello there")], system="You are terse.")
    assert strict(MessageTokensCount, json.loads(raw.text())).input_tokens > 0


def errors():
    cases = [
        ("fail 400", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("fail 401", anthropic.AuthenticationError, 401, "authentication_error"),
        ("fail 403", anthropic.PermissionDeniedError, 403, "permission_error"),
        ("fail 404", anthropic.NotFoundError, 404, "not_found_error"),
        ("fail 429", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("fail 529", anthropic.APIStatusError, 529, "overloaded_error"),
    ]
    for directive, kind, status, name in cases:
        for stream in (False, True):
            try:
                client.messages.create(model=MODEL, max_tokens=9, messages=[user(f"[[{directive}]]")], stream=stream)
            except anthropic.APIStatusError as error:
                assert isinstance(error, kind) and error.status_code == status, (directive, error)
                assert error.body["type"] == "error" and error.body["error"]["type"] == name, (directive, error.body)
                assert error.body["error"]["message"] and error.body["request_id"], (directive, error.body)
            else:
                raise AssertionError(f"{directive}: no error")
    try:
        client.messages.create(
            model=MODEL, max_tokens=9, messages=[user("hi")], tools=[{"type": "web_search_20250305", "name": "web_search"}]
        )
    except anthropic.BadRequestError as error:
        assert "web_search_20250305" in error.body["error"]["message"], error.body
    else:
        raise AssertionError("web_search: no error")


def models():
    page = json.loads(client.models.with_raw_response.list().text())
    ids = [strict(ModelInfo, model).id for model in page["data"]]
    assert MODEL in ids and page["has_more"] is False, page
    assert strict(ModelInfo, json.loads(client.models.with_raw_response.retrieve(MODEL).text())).id == MODEL


SCENARIOS = [
    ten_turns, events, streaming, thinking_disabled, tool_loop, tool_runner, parse, stop_sequences, count_tokens, errors, models
]
{scenario.__name__: scenario for scenario in SCENARIOS}[sys.argv[1]]()

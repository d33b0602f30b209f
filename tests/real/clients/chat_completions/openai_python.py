"""What programs do with OpenAI's Python client: the scenario named as the argument, against OPENAI_BASE_URL.

The model does what a directive in the prompt asks for, and answers with "echo: " and the prompt otherwise.
"""

import sys

import openai
from pydantic import BaseModel

MODEL = "claude-opus-4"
client = openai.OpenAI(max_retries=0, timeout=60)


class Weather(BaseModel):
    """The weather in a city."""

    city: str


class Person(BaseModel):
    name: str


def user(text):
    return {"role": "user", "content": text}


def ten_turns():
    messages, processes = [], []
    for number in range(10):
        messages.append(user(f"turn {number}"))
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=messages)
        processes.append(raw.headers["x-claude-process"])
        message = raw.parse().choices[0].message
        assert message.content == f"echo: turn {number}", message
        # As programs do: the whole message object goes back.
        messages.append(message)
    assert processes[1:] == ["live"] * 9, processes


def streaming():
    chunks = client.chat.completions.create(
        model=MODEL, messages=[user("[[count 5]]")], stream=True, stream_options={"include_usage": True}
    )
    texts, usage = [], None
    for chunk in chunks:
        if chunk.choices and chunk.choices[0].delta.content:
            texts.append(chunk.choices[0].delta.content)
        usage = chunk.usage or usage
    assert texts == ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "], texts
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0, usage


def stream_helper_with_tools():
    messages = [user('[[tool Weather {"city": "Oslo"} ;; Weather {"city": "Rome"}]]')]
    tools = [openai.pydantic_function_tool(Weather)]
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        completion = stream.get_final_completion()
    assert [event.parsed_arguments for event in done] == [Weather(city="Oslo"), Weather(city="Rome")], done
    assert completion.choices[0].finish_reason == "tool_calls", completion

    message = completion.choices[0].message
    messages.append(message)
    for call in message.tool_calls:
        city = call.function.parsed_arguments.city
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"sunny in {city}"})
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        completion = stream.get_final_completion()
    assert completion.choices[0].finish_reason == "stop", completion
    assert text == completion.choices[0].message.content, text
    assert "sunny in Oslo" in text and "sunny in Rome" in text, text


def parse_with_tools():
    messages = [user('[[tool Weather {"city": "Oslo"}]]')]
    tools = [openai.pydantic_function_tool(Weather)]
    completion = client.chat.completions.parse(model=MODEL, messages=messages, tools=tools)
    message = completion.choices[0].message
    (call,) = message.tool_calls
    assert call.function.parsed_arguments == Weather(city="Oslo"), call

    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    completion = client.chat.completions.parse(model=MODEL, messages=messages, tools=tools)
    assert "sunny" in completion.choices[0].message.content, completion


def parse_with_a_format():
    completion = client.chat.completions.parse(
        model=MODEL, messages=[user('[[json {"name": "Grace"}]]')], response_format=Person
    )
    assert completion.choices[0].message.parsed == Person(name="Grace"), completion

    messages = [user('[[json {"name": "Edsger"}]]')]
    with client.chat.completions.stream(model=MODEL, messages=messages, response_format=Person) as stream:
        for event in stream:
            pass
        completion = stream.get_final_completion()
    assert completion.choices[0].message.parsed == Person(name="Edsger"), completion


def errors():
    cases = [
        ("fail 400", openai.BadRequestError, 400, None),
        ("fail 401", openai.AuthenticationError, 401, "claude_not_logged_in"),
        ("fail 403", openai.PermissionDeniedError, 403, "permission_denied"),
        ("fail 404", openai.NotFoundError, 404, "model_not_found"),
        ("fail 429", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("fail 529", openai.InternalServerError, 503, "overloaded"),
        ("overflow", openai.BadRequestError, 400, "context_length_exceeded"),
    ]
    for directive, kind, status, code in cases:
        for stream in (False, True):
            try:
                client.chat.completions.create(model=MODEL, messages=[user(f"[[{directive}]]")], stream=stream)
            except openai.APIStatusError as error:
                assert type(error) is kind, (directive, error)
                assert (error.status_code, error.code) == (status, code), (directive, error)
                assert error.message, directive
            else:
                raise AssertionError(f"{directive}: no error")
    try:
        client.chat.completions.create(model=MODEL, messages=[user("hi")], logprobs=True)
    except openai.BadRequestError as error:
        assert error.param == "logprobs", error
    else:
        raise AssertionError("logprobs: no error")


def models():
    ids = [model.id for model in client.models.list()]
    assert MODEL in ids, ids
    assert client.models.retrieve(MODEL).id == MODEL


SCENARIOS = [
    ten_turns, streaming, stream_helper_with_tools, parse_with_tools, parse_with_a_format, errors, models
]
{scenario.__name__: scenario for scenario in SCENARIOS}[sys.argv[1]]()

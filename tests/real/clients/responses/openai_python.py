"""What programs do with OpenAI's Python client and its Responses API: the scenario named as the argument, against
OPENAI_BASE_URL.

The model does what a directive in the prompt asks for, and answers with "echo: " and the prompt otherwise.
"""

import json
import sys
import time

import openai
from pydantic import BaseModel

MODEL = "claude-opus-4"
client = openai.OpenAI(max_retries=0, timeout=60)


class Weather(BaseModel):
    """The weather in a city."""

    city: str


class Person(BaseModel):
    name: str


WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


def five_turns_by_previous_response_id():
    previous, processes = None, []
    for number in range(5):
        raw = client.responses.with_raw_response.create(
            model=MODEL, input=f"turn {number}", instructions="Be brief.", previous_response_id=previous
        )
        processes.append(raw.headers["x-claude-process"])
        response = raw.parse()
        assert response.output_text == f"echo: turn {number}", response
        assert response.status == "completed" and response.usage.total_tokens > 0, response
        previous = response.id
    assert processes[1:] == ["live"] * 4, processes


def five_turns_by_items():
    items, processes = [], []
    for number in range(5):
        items.append({"role": "user", "content": f"turn {number}"})
        raw = client.responses.with_raw_response.create(model=MODEL, input=items, store=False)
        processes.append(raw.headers["x-claude-process"])
        # As programs do: the whole items go back.
        items += raw.parse().output
    assert processes[1:] == ["live"] * 4, processes


def streaming():
    texts, kinds = [], []
    for event in client.responses.create(model=MODEL, input="[[count 5]]", stream=True):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            texts.append(event.delta)
    assert texts == ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "], texts
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed"), kinds


def stream_helper():
    with client.responses.stream(model=MODEL, input="[[think hard]]", reasoning={"summary": "auto"}) as stream:
        events = list(stream)
        response = stream.get_final_response()
    assert response.output_text == "echo: think hard", response
    thought = "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
    assert thought == "let me think", events
    with client.responses.stream(model=MODEL, input='[[json {"name": "Ada"}]]', text_format=Person) as stream:
        for event in stream:
            pass
        assert stream.get_final_response().output_parsed == Person(name="Ada")


def a_stream_is_read_again():
    events = list(client.responses.create(model=MODEL, input="[[count 3]]", stream=True))
    again = list(client.responses.retrieve(events[-1].response.id, stream=True, starting_after=4))
    assert again == events[5:], again


def parse():
    response = client.responses.parse(model=MODEL, input='[[json {"name": "Grace"}]]', text_format=Person)
    assert response.output_parsed == Person(name="Grace"), response


def parse_with_tools():
    response = client.responses.parse(
        model=MODEL, input='[[tool Weather {"city": "Oslo"}]]', tools=[openai.pydantic_function_tool(Weather)]
    )
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert call.parsed_arguments == Weather(city="Oslo"), call


def tool_loop():
    items = [{"role": "user", "content": '[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]'}]
    response = client.responses.create(model=MODEL, input=items, tools=[WEATHER])
    items += response.output
    for call in response.output:
        if call.type == "function_call":
            city = json.loads(call.arguments)["city"]
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": f"sunny in {city}"})
    raw = client.responses.with_raw_response.create(model=MODEL, input=items, tools=[WEATHER])
    assert raw.headers["x-claude-process"] == "live", raw.headers
    text = raw.parse().output_text
    assert "sunny in Oslo" in text and "sunny in Rome" in text, text


def tool_loop_by_previous_response_id():
    response = client.responses.create(model=MODEL, input='[[tool weather {"city": "Oslo"}]]', tools=[WEATHER])
    outputs = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        for call in response.output
        if call.type == "function_call"
    ]
    raw = client.responses.with_raw_response.create(
        model=MODEL, input=outputs, tools=[WEATHER], previous_response_id=response.id
    )
    assert raw.headers["x-claude-process"] == "live", raw.headers
    assert "sunny" in raw.parse().output_text


def custom_tool_loop():
    tools = [{"type": "custom", "name": "code", "description": "Runs code."}]
    directive = json.dumps({"input": 'print("hi")\n'})
    items = [{"role": "user", "content": f"[[tool code {directive}]]"}]
    response = client.responses.create(model=MODEL, input=items, tools=tools)
    (call,) = [item for item in response.output if item.type == "custom_tool_call"]
    assert call.input == 'print("hi")\n', call
    items += response.output
    items.append({"type": "custom_tool_call_output", "call_id": call.call_id, "output": "hi"})
    assert "hi" in client.responses.create(model=MODEL, input=items, tools=tools).output_text


def kept():
    response = client.responses.create(model=MODEL, input="hello", metadata={"a": "b"})
    assert client.responses.retrieve(response.id) == response
    (item,) = client.responses.input_items.list(response.id).data
    assert item.content[0].text == "hello", item
    client.responses.delete(response.id)
    try:
        client.responses.retrieve(response.id)
    except openai.NotFoundError:
        pass
    else:
        raise AssertionError("it was deleted")
    assert client.responses.input_tokens.count(model=MODEL, input="hello").input_tokens > 0


def background():
    response = client.responses.create(model=MODEL, input="[[count 3]]", background=True)
    deadline = time.monotonic() + 60
    while response.status in ("queued", "in_progress") and time.monotonic() < deadline:
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    assert response.status == "completed" and response.output_text == "w0 w1 w2 ", response

    response = client.responses.create(model=MODEL, input="[[slow 500 count 100]]", background=True)
    assert client.responses.cancel(response.id).status == "cancelled"


def errors():
    cases = [
        ("fail 401", openai.AuthenticationError, 401, "claude_not_logged_in"),
        ("fail 429", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("fail 529", openai.InternalServerError, 503, "overloaded"),
        ("overflow", openai.BadRequestError, 400, "context_length_exceeded"),
    ]
    for directive, kind, status, code in cases:
        for stream in (False, True):
            try:
                client.responses.create(model=MODEL, input=f"[[{directive}]]", stream=stream)
            except openai.APIStatusError as error:
                assert type(error) is kind, (directive, error)
                assert (error.status_code, error.code) == (status, code), (directive, error)
            else:
                raise AssertionError(f"{directive}: no error")
    try:
        client.responses.create(model=MODEL, input="hi", previous_response_id="resp_nobody")
    except openai.NotFoundError as error:
        assert (error.code, error.param) == ("previous_response_not_found", "previous_response_id"), error
    else:
        raise AssertionError("previous_response_id: no error")


SCENARIOS = [
    five_turns_by_previous_response_id, five_turns_by_items, streaming, stream_helper, a_stream_is_read_again, parse,
    parse_with_tools, tool_loop, tool_loop_by_previous_response_id, custom_tool_loop, kept, background, errors,
]
{scenario.__name__: scenario for scenario in SCENARIOS}[sys.argv[1]]()

"""What programs do with OpenAI's Agents SDK: the scenario named as the argument, against OPENAI_BASE_URL."""

import asyncio
import sys

import agents
from agents import Agent, ModelSettings, Runner, function_tool
from openai.types.responses import ResponseTextDeltaEvent
from openai.types.shared import Reasoning
from pydantic import BaseModel

agents.set_tracing_disabled(True)
MODEL = "claude-opus-4"
called = []


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    called.append(city)
    return f"sunny in {city}"


async def tools():
    agent = Agent(name="Assistant", instructions="Be brief.", tools=[weather], model=MODEL)
    result = await Runner.run(agent, '[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]')
    assert sorted(called) == ["Oslo", "Rome"], called
    assert "sunny in Oslo" in result.final_output and "sunny in Rome" in result.final_output, result.final_output
    # As programs do for the next turn: everything so far, then something new.
    result = await Runner.run(agent, result.to_input_list() + [{"role": "user", "content": "and now?"}])
    assert result.final_output == "echo: and now?", result.final_output


async def previous_response_id():
    agent = Agent(name="Assistant", tools=[weather], model=MODEL)
    result = await Runner.run(agent, '[[tool weather {"city": "Oslo"}]]', auto_previous_response_id=True)
    assert called == ["Oslo"] and "sunny in Oslo" in result.final_output, result.final_output
    result = await Runner.run(agent, "and now?", previous_response_id=result.last_response_id)
    assert result.final_output == "echo: and now?", result.final_output


async def handoff():
    billing = Agent(name="Billing", instructions="You know about bills.", model=MODEL)
    triage = Agent(name="Triage", instructions="Hand off.", handoffs=[billing], model=MODEL)
    result = await Runner.run(triage, "[[tool transfer_to_billing {}]]")
    assert result.last_agent is billing, result.last_agent
    assert "Billing" in result.final_output, result.final_output


async def streaming():
    settings = ModelSettings(reasoning=Reasoning(effort="low", summary="auto"))
    agent = Agent(name="Assistant", tools=[weather], model=MODEL, model_settings=settings)
    result = Runner.run_streamed(agent, '[[tool weather {"city": "Oslo"}]]')
    text = ""
    async for event in result.stream_events():
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
            text += event.data.delta
    assert called == ["Oslo"] and text.endswith(result.final_output), text
    assert "sunny in Oslo" in result.final_output, result.final_output


async def output_type():
    class Person(BaseModel):
        name: str

    agent = Agent(name="Assistant", output_type=Person, model=MODEL)
    result = await Runner.run(agent, '[[json {"name": "Grace"}]]')
    assert result.final_output == Person(name="Grace"), result.final_output


SCENARIOS = [tools, previous_response_id, handoff, streaming, output_type]
asyncio.run({scenario.__name__: scenario for scenario in SCENARIOS}[sys.argv[1]]())

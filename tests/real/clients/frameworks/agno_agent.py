"""What programs do with agno over Chat Completions: the scenario named as the argument, against OPENAI_BASE_URL."""

import sys

from agno.agent import Agent
from agno.models.openai import OpenAILike

called = []


def weather(city: str) -> str:
    """The weather in a city."""
    called.append(city)
    return f"sunny in {city}"


def agent():
    model = OpenAILike(id="claude-opus-4", max_retries=0, timeout=60)
    return Agent(model=model, tools=[weather], telemetry=False)


def check(text):
    assert sorted(called) == ["Oslo", "Rome"], called
    assert "sunny in Oslo" in text and "sunny in Rome" in text, text


PROMPT = '[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]'


def tools():
    check(agent().run(PROMPT).content)


def tools_streamed():
    check("".join(event.content for event in agent().run(PROMPT, stream=True) if event.event == "RunContent"))


{scenario.__name__: scenario for scenario in [tools, tools_streamed]}[sys.argv[1]]()

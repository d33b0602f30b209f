"""How programs get objects with instructor over Responses: the scenario named as the argument, against OPENAI_BASE_URL."""

import sys

import instructor
import openai
from pydantic import BaseModel


class Address(BaseModel):
    city: str


class Person(BaseModel):
    name: str
    born: int | None = None
    addresses: list[Address] = []


client = instructor.from_openai(openai.OpenAI(max_retries=0, timeout=60), mode=instructor.Mode.RESPONSES_TOOLS)


def responses_tools():
    prompt = '[[tool Person {"name": "Grace", "addresses": [{"city": "Arlington"}]}]]'
    messages = [{"role": "system", "content": "Extract."}, {"role": "user", "content": prompt}]
    person = client.create(model="claude-opus-4", messages=messages, response_model=Person, max_retries=0)
    # It is of a class that instructor derives.
    assert person.model_dump() == {"name": "Grace", "born": None, "addresses": [{"city": "Arlington"}]}, person


{"responses_tools": responses_tools}[sys.argv[1]]()

// What programs do with OpenAI's client for Node: the scenario named as the argument, against OPENAI_BASE_URL.
//
// The model does what a directive in the prompt asks for, and answers with "echo: " and the prompt otherwise.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The client is installed under the target directory, which is not where this file is.
const require = createRequire(`${process.env.CLIENT_DIRECTORY}/`);
const { default: OpenAI } = await import(pathToFileURL(require.resolve("openai")));

const model = "claude-opus-4";
const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });

function tools(called) {
  const weather = async ({ city }) => {
    called.push(city);
    return `sunny in ${city}`;
  };
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  return [
    {
      type: "function",
      function: { name: "weather", description: "The weather in a city.", parameters, parse: JSON.parse, function: weather },
    },
  ];
}

const request = '[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]';

const scenarios = {
  async run_tools() {
    const called = [];
    const runner = client.chat.completions.runTools({
      model,
      messages: [{ role: "user", content: request }],
      tools: tools(called),
    });
    const text = await runner.finalContent();
    assert.deepEqual(called.sort(), ["Oslo", "Rome"]);
    assert.match(text, /sunny in Oslo/);
    assert.match(text, /sunny in Rome/);
  },

  async run_tools_streamed() {
    const called = [];
    const runner = client.chat.completions.runTools({
      model,
      messages: [{ role: "user", content: request }],
      tools: tools(called),
      stream: true,
    });
    let streamed = "";
    runner.on("content", (delta) => (streamed += delta));
    const text = await runner.finalContent();
    assert.deepEqual(called.sort(), ["Oslo", "Rome"]);
    assert.match(text, /sunny in Oslo/);
    assert.ok(streamed.endsWith(text), streamed);
  },

  async streaming() {
    const stream = await client.chat.completions.create({
      model,
      messages: [{ role: "user", content: "[[count 5]]" }],
      stream: true,
    });
    const texts = [];
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content) texts.push(chunk.choices[0].delta.content);
    }
    assert.deepEqual(texts, ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "]);
  },

  async stream_helper() {
    const stream = client.chat.completions.stream({ model, messages: [{ role: "user", content: "hello" }] });
    const completion = await stream.finalChatCompletion();
    assert.equal(completion.choices[0].message.content, "echo: hello");
    assert.equal(completion.choices[0].finish_reason, "stop");
  },

  async errors() {
    const cases = [
      ["fail 404", OpenAI.NotFoundError, "model_not_found"],
      ["fail 429", OpenAI.RateLimitError, "rate_limit_exceeded"],
    ];
    for (const [directive, kind, code] of cases) {
      for (const stream of [false, true]) {
        const asked = client.chat.completions.create({
          model,
          messages: [{ role: "user", content: `[[${directive}]]` }],
          stream,
        });
        await assert.rejects(asked, (error) => error instanceof kind && error.code === code);
      }
    }
  },
};

await scenarios[process.argv[2]]();

// What programs do with Anthropic's client for Node: the scenario named as the argument, against ANTHROPIC_BASE_URL.
//
// The model does what a directive in the prompt asks for, and answers with "echo: " and the prompt otherwise.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The client is installed under the target directory, which is not where this file is.
const require = createRequire(`${process.env.CLIENT_DIRECTORY}/`);
const { default: Anthropic } = await import(pathToFileURL(require.resolve("@anthropic-ai/sdk")));

const model = "claude-opus-4";
const client = new Anthropic({ maxRetries: 0, timeout: 60_000 });
const user = (content) => ({ role: "user", content });

const scenarios = {
  async streaming() {
    const stream = client.messages.stream({ model, max_tokens: 99, messages: [user("[[count 5]]")] });
    let streamed = "";
    stream.on("text", (delta) => (streamed += delta));
    const message = await stream.finalMessage();
    assert.equal(streamed, "w0 w1 w2 w3 w4 ");
    assert.equal(message.content[0].text, streamed);
    assert.equal(message.stop_reason, "end_turn");
    assert.ok(message.usage.output_tokens > 0);
  },

  async tool_runner() {
    const called = [];
    const weather = {
      type: "custom",
      name: "weather",
      description: "The weather in a city.",
      input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      parse: (input) => input,
      run: async ({ city }) => {
        called.push(city);
        return `sunny in ${city}`;
      },
    };
    for (const stream of [false, true]) {
      const runner = client.beta.messages.toolRunner({
        model,
        max_tokens: 99,
        stream,
        messages: [user('[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]')],
        tools: [weather],
      });
      const message = await runner.runUntilDone();
      assert.deepEqual(called.splice(0).sort(), ["Oslo", "Rome"]);
      assert.match(message.content[0].text, /sunny in Oslo/);
      assert.match(message.content[0].text, /sunny in Rome/);
    }
  },

  async errors() {
    for (const [directive, status, type] of [
      ["fail 400", 400, "invalid_request_error"],
      ["fail 404", 404, "not_found_error"],
      ["fail 429", 429, "rate_limit_error"],
      ["fail 529", 529, "overloaded_error"],
    ]) {
      for (const stream of [false, true]) {
        const request = { model, max_tokens: 9, messages: [user(`[[${directive}]]`)], stream };
        await assert.rejects(client.messages.create(request), (error) => {
          assert.equal(error.status, status);
          assert.equal(error.error.error.type, type);
          return true;
        });
      }
    }
  },
};

await scenarios[process.argv[2]]();

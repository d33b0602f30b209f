// What programs do with OpenAI's client for Node and its Responses API: the scenario named as the argument, against
// OPENAI_BASE_URL.
//
// The model does what a directive in the prompt asks for, and answers with "echo: " and the prompt otherwise.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The client is installed under the target directory, which is not where this file is.
const require = createRequire(`${process.env.CLIENT_DIRECTORY}/`);
const from = (name) => import(pathToFileURL(require.resolve(name)));
const { default: OpenAI } = await from("openai");
const { zodTextFormat } = await from("openai/helpers/zod");
const { z } = await from("zod");

const model = "claude-opus-4";
const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", name: "weather", description: "The weather in a city.", parameters, strict: false }];

const scenarios = {
  async turns_by_previous_response_id() {
    let previous;
    for (const number of [0, 1, 2]) {
      const { data, response } = await client.responses
        .create({ model, input: `turn ${number}`, previous_response_id: previous })
        .withResponse();
      assert.equal(data.output_text, `echo: turn ${number}`);
      if (number > 0) assert.equal(response.headers.get("x-claude-process"), "live");
      previous = data.id;
    }
  },

  async streaming() {
    const stream = await client.responses.create({ model, input: "[[count 5]]", stream: true });
    let text = "";
    for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta;
    assert.equal(text, "w0 w1 w2 w3 w4 ");
  },

  async stream_helper() {
    const stream = client.responses.stream({ model, input: "[[count 5]]" });
    const deltas = [];
    stream.on("response.output_text.delta", (event) => deltas.push(event.delta));
    const response = await stream.finalResponse();
    assert.deepEqual(deltas, ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "]);
    assert.equal(response.output_text, "w0 w1 w2 w3 w4 ");
  },

  async parse() {
    const Person = z.object({ name: z.string() });
    const response = await client.responses.parse({
      model,
      input: '[[json {"name": "Grace"}]]',
      text: { format: zodTextFormat(Person, "person") },
    });
    assert.deepEqual(response.output_parsed, { name: "Grace" });
  },

  async tool_loop() {
    const input = [{ role: "user", content: '[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]' }];
    const first = await client.responses.create({ model, input, tools });
    input.push(...first.output);
    for (const call of first.output.filter((item) => item.type === "function_call")) {
      const output = `sunny in ${JSON.parse(call.arguments).city}`;
      input.push({ type: "function_call_output", call_id: call.call_id, output });
    }
    const { data, response } = await client.responses.create({ model, input, tools }).withResponse();
    assert.equal(response.headers.get("x-claude-process"), "live");
    assert.match(data.output_text, /sunny in Oslo/);
    assert.match(data.output_text, /sunny in Rome/);
  },

  async errors() {
    await assert.rejects(client.responses.create({ model, input: "[[fail 429]]" }), (error) => {
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.equal(error.code, "rate_limit_exceeded");
      return true;
    });
  },
};

await scenarios[process.argv[2]]();

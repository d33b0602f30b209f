// What programs do with Vercel's AI SDK and its default `openai()` provider, which speaks the Responses API: the
// scenario named as the argument, against OPENAI_BASE_URL.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.CLIENT_DIRECTORY}/`);
const from = (name) => import(pathToFileURL(require.resolve(name)));
const { generateText, generateObject, streamText, isStepCount, stepCountIs, tool } = await from("ai");
const { createOpenAI } = await from("@ai-sdk/openai");
const { z } = await from("zod");

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: "any key" });
const model = openai("claude-opus-4");
const stopWhen = (stepCountIs ?? isStepCount)(5);

function tools(called) {
  const execute = async ({ city }) => {
    called.push(city);
    return `sunny in ${city}`;
  };
  return { weather: tool({ description: "The weather in a city.", inputSchema: z.object({ city: z.string() }), execute }) };
}

const prompt = '[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]';

const scenarios = {
  async tool_loop() {
    const called = [];
    const result = await generateText({ model, tools: tools(called), stopWhen, prompt, maxRetries: 0 });
    assert.deepEqual(called.sort(), ["Oslo", "Rome"]);
    assert.match(result.text, /sunny in Oslo/);
    assert.match(result.text, /sunny in Rome/);
    assert.equal(result.steps.length, 2);
  },

  async tool_loop_unstored() {
    const called = [];
    const providerOptions = { openai: { store: false, reasoningSummary: "auto", include: ["reasoning.encrypted_content"] } };
    const result = await generateText({ model, tools: tools(called), stopWhen, prompt, providerOptions, maxRetries: 0 });
    assert.deepEqual(called.sort(), ["Oslo", "Rome"]);
    assert.match(result.text, /sunny in Oslo/);
  },

  async tool_loop_streamed() {
    const called = [];
    const result = streamText({ model, tools: tools(called), stopWhen, prompt, maxRetries: 0 });
    let text = "";
    for await (const delta of result.textStream) text += delta;
    assert.deepEqual(called.sort(), ["Oslo", "Rome"]);
    assert.match(text, /sunny in Oslo/);
  },

  async object() {
    const schema = z.object({ name: z.string() });
    const { object } = await generateObject({ model, schema, prompt: '[[json {"name": "Grace"}]]', maxRetries: 0 });
    assert.deepEqual(object, { name: "Grace" });
  },
};

await scenarios[process.argv[2]]();

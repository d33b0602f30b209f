// How programs get objects with LangChain.js and zod: the scenario named as the argument, against OPENAI_BASE_URL and
// ANTHROPIC_BASE_URL.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.CLIENT_DIRECTORY}/`);
const from = (name) => import(pathToFileURL(require.resolve(name)));
const { ChatAnthropic } = await from("@langchain/anthropic");
const { ChatOpenAI } = await from("@langchain/openai");
const { z } = await from("zod");

const settings = { model: "claude-opus-4", maxRetries: 0 };
const openai = new ChatOpenAI({ ...settings, configuration: { baseURL: process.env.OPENAI_BASE_URL } });
const responses = new ChatOpenAI({ ...settings, configuration: { baseURL: process.env.OPENAI_BASE_URL }, useResponsesApi: true });
const anthropic = new ChatAnthropic({ ...settings, anthropicApiUrl: process.env.ANTHROPIC_BASE_URL });
const person = z.object({ name: z.string().describe("The first name."), born: z.int().optional() });

// `directive` is what has the model give an object in this way. Without a method, each model has its own.
async function object(model, directive, method) {
  const structured = model.withStructuredOutput(person, method && { method });
  assert.deepEqual(await structured.invoke(`[[${directive} {"name": "Grace", "born": 1906}]]`), { name: "Grace", born: 1906 });
}

const scenarios = {
  async chat_completions() {
    await object(openai, "json");
    await object(openai, "tool extract", "functionCalling");
  },

  async responses() {
    await object(responses, "json");
    await object(responses, "tool extract", "functionCalling");
  },

  async messages() {
    await object(anthropic, "tool extract");
    await object(anthropic, "json", "jsonSchema");
  },
};

await scenarios[process.argv[2]]();

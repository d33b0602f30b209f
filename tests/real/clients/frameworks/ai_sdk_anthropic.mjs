// What programs do with Vercel's AI SDK and its Anthropic provider, both of the versions that AI_SDK and PROVIDER name: the
// scenario named as the argument, against ANTHROPIC_BASE_URL.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.CLIENT_DIRECTORY}/`);
const from = (name) => import(pathToFileURL(require.resolve(name)));
const { generateText, generateObject, streamText, stepCountIs, tool } = await from(process.env.AI_SDK);
const { createAnthropic } = await from(process.env.PROVIDER);
const { z } = await from("zod");

const anthropic = createAnthropic({ baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1`, apiKey: "any key" });
const common = { model: anthropic("claude-opus-4"), maxRetries: 0 };

function withTools() {
  const called = [];
  const execute = async ({ city }) => {
    called.push(city);
    return `sunny in ${city}`;
  };
  const weather = tool({ description: "The weather in a city.", inputSchema: z.object({ city: z.string() }), execute });
  const prompt = '[[tool weather {"city": "Oslo"} ;; weather {"city": "Rome"}]]';
  return { called, request: { ...common, tools: { weather }, stopWhen: stepCountIs(5), prompt } };
}

function check(called, text) {
  assert.deepEqual(called.sort(), ["Oslo", "Rome"]);
  assert.match(text, /sunny in Oslo/);
  assert.match(text, /sunny in Rome/);
}

const scenarios = {
  async tool_loop() {
    const { called, request } = withTools();
    const result = await generateText(request);
    check(called, result.text);
    assert.equal(result.steps.length, 2);
  },

  async tool_loop_streamed() {
    const { called, request } = withTools();
    let text = "";
    for await (const delta of streamText(request).textStream) text += delta;
    check(called, text);
  },

  async objects() {
    const schema = z.object({ name: z.string() });
    // Which of the two it takes by itself depends on its version and on the model's name.
    const modes = { jsonTool: "tool json", outputFormat: "json" };
    for (const [structuredOutputMode, directive] of Object.entries(modes)) {
      const providerOptions = { anthropic: { structuredOutputMode } };
      const prompt = `[[${directive} {"name": "Grace"}]]`;
      const { object } = await generateObject({ ...common, schema, prompt, providerOptions });
      assert.deepEqual(object, { name: "Grace" });
    }
  },
};

await scenarios[process.argv[2]]();

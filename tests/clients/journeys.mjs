// The true `openai` client for Node.js over the API: one journey per endpoint family. Prints a line for each.
//
//     npm install --prefix FOLDER openai zod
//     NODE_PATH=… node tests/clients/journeys.mjs BASE_URL KEY MODEL FOLDER
//
// MODEL answers with any text. `caller` beside it calls a tool if there is one; without it that journey is left out.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [baseURL, apiKey, model, folder] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(folder), "node_modules", "x.js"));
const load = async (name) => await import(pathToFileURL(require.resolve(name)).href);
const { default: OpenAI, toFile } = await load("openai");
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 120_000 });
const messages = [{ role: "user", content: "Hello there" }];
const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather in a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const models = async () => {
  const names = [];
  for await (const each of client.models.list()) names.push(each.id);
  assert(names.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
  return names;
};

const journeys = {
  async chat() {
    const answer = await client.chat.completions.create({ model, messages, max_completion_tokens: 20 });
    assert(answer.choices[0].message.content.length > 0);
    assert(answer.usage.total_tokens > 0);
    assert(answer._request_id.startsWith("req_"));
  },

  async stream() {
    const stream = await client.chat.completions.create({
      model,
      messages,
      max_completion_tokens: 20,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage;
    let reason;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      reason = chunk.choices[0]?.finish_reason ?? reason;
      usage = chunk.usage ?? usage;
    }
    assert(text.length > 0);
    assert(["stop", "length"].includes(reason));
    assert(usage.completion_tokens > 0);
  },

  async stream_helper() {
    const runner = client.chat.completions.stream({ model, messages, max_completion_tokens: 20 });
    let seen = "";
    runner.on("content", (delta) => (seen += delta));
    const whole = await runner.finalChatCompletion();
    assert.equal(whole.choices[0].message.content, seen);
  },

  async aborted_stream() {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const _ of stream) break;
    stream.controller.abort();
  },

  async tools() {
    const names = await models();
    if (!names.includes("caller")) return "left out";
    const asked = await client.chat.completions.create({ model: "caller", messages, tools: [weather] });
    const [call] = asked.choices[0].message.tool_calls;
    assert.equal(call.function.name, "weather");
    const answer = await client.chat.completions.create({
      model: "caller",
      tools: [weather],
      messages: [
        ...messages,
        asked.choices[0].message,
        { role: "tool", tool_call_id: call.id, content: "It is sunny." },
      ],
    });
    assert(answer.choices[0].message.content.length > 0);
    return undefined;
  },

  async tool_runner() {
    const names = await models();
    if (!names.includes("caller")) return "left out";
    const cities = [];
    const tool = {
      type: "function",
      function: {
        ...weather.function,
        parse: JSON.parse,
        function: ({ city }) => {
          cities.push(city);
          return "It is sunny.";
        },
      },
    };
    const runner = client.chat.completions.runTools({ model: "caller", messages, tools: [tool] });
    assert((await runner.finalContent()).length > 0);
    assert.equal(cities.length, 1);
    return undefined;
  },

  async structured_output() {
    const { zodResponseFormat } = await load("openai/helpers/zod");
    const { z } = await load("zod");
    const Event = z.object({ title: z.string(), year: z.number().int() });
    const answer = await client.chat.completions.parse({
      model,
      messages,
      response_format: zodResponseFormat(Event, "event"),
      max_completion_tokens: 200,
    });
    Event.parse(answer.choices[0].message.parsed);
  },

  async completions() {
    const answer = await client.completions.create({ model, prompt: "Once upon a time", max_tokens: 5 });
    assert.equal(answer.object, "text_completion");
  },

  async embeddings() {
    const found = await client.embeddings.create({ model, input: ["one", "two"] });
    assert.equal(found.data.length, 2);
    const length = Math.hypot(...found.data[0].embedding);
    assert(Math.abs(length - 1) < 1e-3, `length ${length}`);
  },

  async files() {
    const line = { custom_id: "a", method: "POST", url: "/v1/chat/completions", body: { model, messages } };
    const file = await client.files.create({
      file: await toFile(Buffer.from(`${JSON.stringify(line)}\n`), "requests.jsonl"),
      purpose: "batch",
    });
    assert.equal(file.purpose, "batch");
    const listed = [];
    for await (const each of client.files.list({ limit: 5 })) listed.push(each.id);
    assert(listed.includes(file.id));
    assert.equal(JSON.parse(await (await client.files.content(file.id)).text()).custom_id, "a");
    const batch = await client.batches.create({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    assert.equal((await client.batches.retrieve(batch.id)).id, batch.id);
    assert(["cancelling", "cancelled"].includes((await client.batches.cancel(batch.id)).status));
  },

  async responses() {
    const first = await client.responses.create({ model, input: "Hello there", max_output_tokens: 20 });
    assert(first.output_text.length > 0);
    const counted = await client.responses.inputTokens.count({
      model,
      input: "And now?",
      previous_response_id: first.id,
    });
    assert(counted.input_tokens > 0);
    const second = await client.responses.create({
      model,
      input: "And now?",
      previous_response_id: first.id,
      max_output_tokens: 20,
    });
    assert.equal(second.previous_response_id, first.id);
    const kinds = [];
    const stream = await client.responses.create({
      model,
      input: "Hello there",
      stream: true,
      max_output_tokens: 20,
    });
    for await (const event of stream) kinds.push(event.type);
    assert.equal(kinds[0], "response.created");
    assert(["response.completed", "response.incomplete"].includes(kinds.at(-1)));
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  },

  async moderations() {
    const found = await client.moderations.create({ input: "Have a nice day." });
    assert.equal(found.results[0].flagged, false);
  },

  async errors() {
    await assert.rejects(client.chat.completions.create({ model: "nobody", messages }), (error) => {
      assert(error instanceof OpenAI.NotFoundError);
      assert.equal(error.code, "model_not_found");
      assert.equal(error.param, "model");
      return true;
    });
    await assert.rejects(
      client.chat.completions.create({ model, messages, temperature: 9 }),
      (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature",
    );
    const stranger = new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  },
};

let failed = 0;
await models();
for (const [name, journey] of Object.entries(journeys)) {
  try {
    console.log(`${name}: ${(await journey()) ?? "ok"}`);
  } catch (error) {
    failed += 1;
    console.log(`${name}: FAILED ${error.stack}`);
  }
}
process.exit(failed ? 1 : 0);

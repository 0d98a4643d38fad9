// @ts-check
/** Prefill and decoding: wllama with the real model file, ours as recorded (see ../paper.py). */

// @ts-expect-error: served from this folder's node_modules
import { Wllama, LoggerWithoutDebug } from '/node_modules/@wllama/wllama/esm/index.js';
import { median } from './measure.js';
import { Recorded, openDevice } from './ours.js';

/** @typedef {{prefill: number, decode: number, tokens: number}} Rates tokens a second, and of the prompt */
/** @typedef {{name: string, answer: () => Promise<Rates>, destroy: () => unknown}} Talker */

const SENTENCE = 'The river runs past the old mill and under the stone bridge to the sea. ';

/**
 * @param {{promptTokens: number, newTokens: number}} spec
 * @param {Blob} file GGUF @param {number} threads @param {number|undefined} gpuLayers undefined: as it comes
 * @returns {Promise<Talker>}
 */
async function wllama({ promptTokens, newTokens }, file, threads, gpuLayers) {
  const wllama = new Wllama({ default: '/node_modules/@wllama/wllama/esm/wasm/wllama.wasm' }, {
    logger: LoggerWithoutDebug,
    suppressNativeLog: true,
  });
  const layers = gpuLayers === undefined ? {} : { n_gpu_layers: gpuLayers };
  await wllama.loadModel([file], { n_ctx: 512, n_threads: threads, ...layers });
  // A token of it is about 4.5 characters; the rate is of what the library says it has read.
  const prompt = SENTENCE.repeat(Math.ceil((promptTokens * 4.5) / SENTENCE.length)).slice(0, promptTokens * 4.5);
  const shown = gpuLayers === 0 ? `${threads} thread${threads > 1 ? 's' : ''}` : 'WebGPU';
  return {
    name: `wllama, ${shown}`,
    async answer() {
      const result = await wllama.createCompletion({
        prompt, max_tokens: newTokens, temperature: 0, cache_prompt: false, ignore_eos: true,
      });
      const { prompt_n: tokens, prompt_ms, predicted_n, predicted_ms } = result.timings;
      return { tokens, prefill: (1000 * tokens) / prompt_ms, decode: (1000 * (predicted_n - 1)) / predicted_ms };
    },
    destroy: () => wllama.exit(),
  };
}

/**
 * @param {{promptTokens: number, newTokens: number, written: any}} spec
 * @returns {Promise<Talker>}
 */
async function ours({ promptTokens, newTokens, written }) {
  const recorded = await Recorded.create(written);
  const { chunkRows, vocabulary } = written;

  /** One pass; the logits come to the host, as the engine's do. */
  async function pass(/** @type {string} */ name, /** @type {number[]} */ tokens, /** @type {number} */ start) {
    recorded.write(`${name}Tokens`, Uint32Array.from(tokens));
    recorded.write(`${name}Positions`, Uint32Array.from(tokens, (_, i) => start + i));
    if (name === 'chunk') recorded.write('chunkLastRow', Uint32Array.of(tokens.length - 1));
    await recorded.run(1, name === 'chunk' ? 0 : 1);
    const logits = await recorded.read(`${name}Logits`);
    let best = 0;
    for (let token = 1; token < vocabulary; token++) if (logits[token] > logits[best]) best = token;
    return best;
  }

  return {
    name: 'LoRA Lab',
    async answer() {
      const started = performance.now();
      let next = 0;
      for (let start = 0; start < promptTokens; start += chunkRows) {
        next = await pass('chunk', Array.from({ length: chunkRows }, (_, i) => (start + i) * 7 % vocabulary), start);
      }
      const read = performance.now();
      for (let count = 1; count < newTokens; count++) next = await pass('token', [next], promptTokens + count - 1);
      const done = performance.now();
      return {
        tokens: promptTokens,
        prefill: (1000 * promptTokens) / (read - started),
        decode: (1000 * (newTokens - 1)) / (done - read),
      };
    },
    destroy: () => recorded.destroy(),
  };
}

/**
 * Answers of all in turn, the first of each not counted.
 * @param {{promptTokens: number, newTokens: number, rounds: number, written: any}} spec
 */
export async function chat(spec) {
  const file = await (await fetch('/model.gguf')).blob();
  const talkers = [await ours(spec)];
  /** @type {{name: string, error: string}[]} */
  const failures = [];
  /** @type {[number, number|undefined][]} threads, layers on the GPU */
  const ways = [[1, 0], [navigator.hardwareConcurrency, 0]];
  // Without shader-f16 llama.cpp falls back to WebAssembly and does not say so.
  if ((await openDevice()).features.has('shader-f16')) ways.push([1, undefined]);
  else failures.push({ name: 'wllama, WebGPU', error: 'this adapter has no shader-f16, which llama.cpp needs' });
  for (const [threads, layers] of ways) {
    try {
      talkers.push(await wllama(spec, file, threads, layers));
    } catch (error) {
      failures.push({ name: `wllama, ${layers === 0 ? `${threads} threads` : 'WebGPU'}`, error: String(error) });
    }
  }
  /** @type {Rates[][]} */
  const rates = talkers.map(() => []);
  for (let round = -1; round < spec.rounds; round++) {
    for (const [index, talker] of talkers.entries()) {
      const answer = await talker.answer();
      if (round >= 0) rates[index].push(answer);
    }
  }
  for (const talker of talkers) await talker.destroy();
  const figures = talkers.flatMap(({ name }, index) => /** @type {const} */ (['prefill', 'decode']).map((what) => {
    const values = rates[index].map((each) => each[what]);
    const tokens = what === 'prefill' ? rates[index][0].tokens : spec.newTokens;
    return { name, what, tokens, median: median(values), low: Math.min(...values), high: Math.max(...values) };
  }));
  return { figures, failures };
}

// @ts-check
/** One try at a file: ask for what is missing, and see to it that it is of the same file. */

import { say } from '../messages/mark.js';
import { Refused, statusError, Unreachable } from './failures.js';
import { checkRoom, fitsMemory } from './room.js';
import { FileSink, MemorySink } from './sinks.js';

/** @import {Hasher} from './hash.js' */
/** @import {Wanted} from './model-store.js' */

/** What a file of a model is that is fetched under way: its bytes, and what is known of them. */
export class State {
  /**
   * @param {FileSink|MemorySink} sink
   * @param {Hasher|null} hasher null where it is not known what the hash has to be
   * @param {string} validator what the server calls this version of the file
   * @param {string} stored its name on the device
   */
  constructor(sink, hasher, validator, stored) {
    this.sink = sink;
    this.hasher = hasher;
    this.validator = validator;
    this.stored = stored;
  }

  /** Begin anew. */
  restart() {
    this.sink.clear();
    this.hasher?.init();
  }

  /** @param {Uint8Array<ArrayBuffer>} chunk */
  async write(chunk) {
    try {
      this.sink.write(chunk);
    } catch (error) {
      // The browser's estimate was too high, or the disk filled up meanwhile.
      if (!(this.sink instanceof FileSink) || !fitsMemory(this.sink.size)) throw error;
      this.sink = new MemorySink(await this.sink.finish());
      this.sink.write(chunk);
    }
    this.hasher?.update(chunk);
  }
}

/** @param {Headers} headers */
function validatorOf(headers) {
  const validator = headers.get('etag') ?? headers.get('last-modified') ?? '';
  return validator.startsWith('W/') ? '' : validator;
}

/**
 * Whether an answer continues what is there. `If-Range` would ask the server to see to that, but
 * makes the browser ask for leave first, which hosts of large files refuse.
 * @param {Response} response @param {State} state
 */
function continues({ headers }, { sink, validator }) {
  const found = validatorOf(headers);
  if (validator && found && found !== validator) return false;
  const start = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1];
  return start === undefined || Number(start) === sink.size;
}

/**
 * @param {Wanted} wanted @param {Response} response of all of the file, or of its rest from `start`
 * @param {number} start
 * @returns {number} bytes of the whole file, 0 where that is not known
 */
function totalOf({ url, name, size, isText }, { headers }, start) {
  // What is packed for the way has another length, and other sites' pages are not told of it.
  const length = isText || headers.has('content-encoding') ? 0 : Number(headers.get('content-length') ?? 0);
  if (!length) return size;
  if (size && start + length !== size) {
    throw new Refused(say('{name} has {bytes} bytes at {host} where {size} were expected: it is another file by now. Choose another model, or give its address.', { name, bytes: start + length, host: url.host, size }));
  }
  return start + length;
}

/**
 * Ask for what is missing and pour it into the sink.
 * @param {Wanted} wanted
 * @param {State} state changed as bytes arrive
 * @param {(complete: boolean) => Promise<void>} mark note what is stored
 * @param {AbortSignal} signal
 * @param {(total: number) => void} onChunk told the size of the file, 0 where it is not known
 */
export async function pour(wanted, state, mark, signal, onChunk) {
  if (wanted.size && state.sink.size > wanted.size) state.restart();
  const start = state.sink.size;
  if (wanted.size && start === wanted.size) return;
  const response = await fetch(wanted.url, { signal, headers: start > 0 ? { Range: `bytes=${start}-` } : {} }).catch((error) => {
    throw signal.aborted ? error : new Unreachable(String(error instanceof Error ? error.message : error));
  });
  const isPart = response.status === 206;
  if (response.status === 416 || (isPart && !continues(response, state))) {
    await response.body?.cancel();
    state.restart();
    state.validator = '';
    if (!start) throw new Error(say('the answer is empty'));
    return pour(wanted, state, mark, signal, onChunk); // it changed meanwhile: from the start
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw statusError(wanted.url, response.status);
  }
  if (!wanted.isText && /^text\/html\b/.test(response.headers.get('content-type') ?? '')) {
    await response.body?.cancel();
    throw new Refused(say('{address} is a web page, not a model: give the address of a .gguf file, or of a folder that holds config.json.', { address: wanted.url.href }));
  }
  if (!isPart) state.restart();
  state.validator = validatorOf(response.headers);
  const total = totalOf(wanted, response, isPart ? start : 0);
  if (!wanted.size && total) await checkRoom(wanted.name, total - state.sink.size, state.stored);
  await mark(false);
  if (!response.body) throw new Error(say('the answer is empty'));
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    await state.write(value);
    onChunk(total);
  }
  if (total && state.sink.size !== total) throw new Error(say('the connection broke after {bytes} of {total} bytes', { bytes: state.sink.size, total }));
}

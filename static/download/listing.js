// @ts-check
/** Which files the model at an address consists of. */

import { say } from '../messages/mark.js';
import { readAddress } from './address.js';
import { Refused, statusError, unreachableError } from './failures.js';

/** @import {Repository} from './address.js' */
/** @import {Part, WantedFolder, Wanted} from './model-store.js' */

/** Read where they are there. */
const EXTRAS = ['tokenizer_config.json', 'chat_template.jinja', 'generation_config.json'];
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const SHARD = /^[\w.-]+\.safetensors$/;

/** What was answered where nothing was found; tells most. */
class Clues {
  status = 0;
  isAnswered = false;
  /** It answers no HEAD: whether a file is there is seen when it is fetched. */
  knowsNoHead = false;

  /** @param {Response} response */
  note({ status }) {
    this.isAnswered = true;
    this.knowsNoHead ||= status === 405 || status === 501;
    if (status === 401 || status === 403) this.status = status;
  }
}

/** @param {URL} url @param {AbortSignal} signal @param {Clues} clues @param {RequestInit} [init] @returns {Promise<Response|null>} null: not there */
async function ask(url, signal, clues, init = {}) {
  try {
    const response = await fetch(url, { signal, cache: 'no-cache', ...init });
    clues.note(response);
    if (response.ok) return response;
    await response.body?.cancel();
  } catch {
    signal.throwIfAborted();
  }
  return null;
}

/** @param {Response|null} response @returns {Promise<any>} null where it is no JSON object */
async function objectOf(response) {
  const found = await response?.json().catch(() => null);
  return typeof found === 'object' ? found : null;
}

/**
 * Of a repository's files, those of the model; the host tells their sizes and hashes.
 * @param {Repository} repository @param {string} origin @param {AbortSignal} signal @param {Clues} clues
 * @returns {Promise<{base: URL, files: Part[]}|null>}
 */
async function listRepository({ owner, name, revision, inside }, origin, signal, clues) {
  const told = await objectOf(await ask(new URL(`/api/models/${owner}/${name}/revision/${revision}?blobs=true`, origin), signal, clues));
  if (!Array.isArray(told?.siblings) || !/^[0-9a-f]{40}$/.test(told.sha)) return null;
  /** @type {Map<string, Part>} */
  const there = new Map();
  for (const { rfilename, size, lfs } of told.siblings) {
    if (typeof rfilename !== 'string' || !rfilename.startsWith(inside)) continue;
    const file = rfilename.slice(inside.length);
    if (!file.includes('/')) there.set(file, { name: file, size: Number(lfs?.size ?? size) || 0, sha256: String(lfs?.sha256 ?? '') });
  }
  const base = new URL(`/${owner}/${name}/resolve/${told.sha}/${inside}`, origin);
  const shards = [...there.keys()].filter((file) => /^model-\d+-of-\d+\.safetensors$/.test(file));
  const weights = there.has(WEIGHTS) ? [WEIGHTS] : there.has(INDEX) && shards.length ? [INDEX, ...shards] : [];
  const wanted = ['config.json', 'tokenizer.json', ...EXTRAS.filter((file) => there.has(file)), ...weights];
  const lacking = [...wanted.slice(0, 2), ...(weights.length ? [] : [WEIGHTS])].filter((file) => !there.has(file));
  if (lacking.length) {
    throw new Refused(say('{address} holds no model that this page reads: {files} is not there. It takes config.json, tokenizer.json and model.safetensors, or one .gguf file by its own address.', { address: base.href, files: lacking.join(', ') }));
  }
  return { base, files: wanted.map((file) => there.get(file)).filter((part) => part !== undefined) };
}

/**
 * A folder of a host that lists nothing: each file is asked for.
 * @param {URL} base @param {AbortSignal} signal @param {Clues} clues
 * @returns {Promise<{base: URL, files: Part[]}|null>}
 */
async function listFolder(base, signal, clues) {
  const response = await ask(new URL('config.json', base), signal, clues);
  // A branch goes on while its files are fetched: the commit that it is at now does not.
  const commit = response?.headers.get('x-repo-commit') ?? '';
  if (!(await objectOf(response))) return null;
  const pinned = /^[0-9a-f]{40}$/.test(commit) ? new URL(base.pathname.replace(/\/resolve\/[^/]+\//, `/resolve/${commit}/`), base.origin) : base;
  const index = await objectOf(await ask(new URL(INDEX, pinned), signal, clues));
  /** @type {string[]} */
  const shards = [...new Set(Object.values(index?.weight_map ?? {}))].filter((shard) => typeof shard === 'string' && SHARD.test(shard)).sort();
  const weights = shards.length ? shards : [WEIGHTS];
  /** @param {string} file @returns {Promise<Part|null>} */
  const look = async (file) => {
    const head = await ask(new URL(file, pinned), signal, clues, { method: 'HEAD' });
    if (!head && !(clues.knowsNoHead && !EXTRAS.includes(file))) return null;
    return { name: file, size: SHARD.test(file) ? Number(head?.headers.get('content-length') ?? 0) : 0, sha256: '' };
  };
  const [tokenizer, ...rest] = await Promise.all(['tokenizer.json', ...EXTRAS, ...weights].map(look));
  const found = rest.filter((part) => part !== null);
  const lacking = weights.filter((file) => !found.some(({ name }) => name === file));
  if (!tokenizer) lacking.push('tokenizer.json');
  if (lacking.length) {
    throw new Refused(say('{address} holds no model that this page reads: {files} is not there. It takes config.json, tokenizer.json and model.safetensors, or one .gguf file by its own address.', { address: pinned.href, files: lacking.join(', ') }));
  }
  const plain = ['config.json', 'tokenizer.json', ...(shards.length ? [INDEX] : [])].map((name) => ({ name, size: 0, sha256: '' }));
  return { base: pinned, files: [...plain, ...found] };
}

/**
 * @param {URL} url as a person gave it
 * @param {AbortSignal} signal
 * @returns {Promise<WantedFolder|Wanted>}
 */
export async function findModel(url, signal) {
  const { repository, folders, file } = readAddress(url);
  const clues = new Clues();
  let found = repository && (await listRepository(repository, url.origin, signal, clues));
  for (const folder of folders) found ??= await listFolder(folder, signal, clues);
  if (found) {
    const parts = found.base.pathname.split('/').filter(Boolean);
    return { ...found, name: decodeURIComponent((parts[2] === 'resolve' ? parts[1] : parts.at(-1)) || url.host), asked: url.href };
  }
  if (file) return { url: file, name: decodeURIComponent(file.pathname.split('/').at(-1) ?? '') || file.host, size: 0, sha256: '' };
  if (!clues.isAnswered) throw await unreachableError(url.href, url);
  if (clues.status) throw statusError(url, clues.status);
  throw new Refused(say('{address} holds no model that this page reads: {files} is not there. It takes config.json, tokenizer.json and model.safetensors, or one .gguf file by its own address.', { address: url.href, files: 'config.json' }));
}

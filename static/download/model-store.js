// @ts-check
/**
 * Where models come from: files of the person's, or an address. What is fetched is kept in
 * the browser's private file system, so the next visit needs no network, and what was fetched
 * half is continued.
 */

import { manifest } from '../manifest.js';
import { isFileAddress } from './address.js';
import { downloadElsewhere } from './downloader.js';
import { say } from '../messages/mark.js';
import { modelFolder } from './sinks.js';
import { BUNDLED, openStoredModel } from './stored-models.js';

/** @import {ModelSource} from '../types.js' */
/** @typedef {{name: string, size: number, sha256: string}} Part one file of several; 0 and '' where it is not known */
/** @typedef {{name: string, loaded: number, total: number, stage?: 'check'|'offline'}} Progress `check`: what is stored is being hashed */
/** @typedef {{name: string, blob: Blob}} OpenedFile */
/** @typedef {{name: string, blob?: Blob, files?: File[]}} OpenedModel one of the two */
/** @typedef {Part & {url: URL, isText?: boolean}} Wanted `isText`: small, fetched whole, and may come packed */
/** @typedef {{base: URL, name: string, files: Part[], asked?: string}} WantedFolder `asked`: the address that a person gave */

/**
 * What the worker is asked for; `address`: it finds out what is there.
 * @typedef {{kind: 'file', url: string, name: string, size: number, sha256: string}|
 *   {kind: 'folder', url: string, name: string, files: Part[], asked?: string}|{kind: 'address', url: string}} Order
 */

const cancelled = () => new Error(say('The download was cancelled. What has arrived is kept: loading the model again goes on from there.'));
const gone = () => new Error(say('This model is no longer stored on this device: fetch it again.'));

/** @type {{key: string, abort: AbortController, opened: Promise<OpenedModel>}|null} */
let current = null;

let isCancelled = false;

/** Give up what is being fetched, and what is asked for next, until `allowModel`. */
export function cancelModel() {
  isCancelled = true;
  current?.abort.abort(cancelled());
}

/** @param {ModelSource} source what of it two requests share, '' where nothing is fetched */
const keyOf = (source) => (source.kind === 'bundled' ? 'bundled' : source.kind === 'url' || source.kind === 'url-folder' ? source.url : '');

/**
 * The person asks for a model again. One that is on its way makes room for another at once: its host may never answer.
 * @param {ModelSource} source
 */
export function allowModel(source) {
  isCancelled = false;
  if (!current || current.key === keyOf(source)) return;
  current.abort.abort();
  current = null;
}

/** @param {ModelSource} source @returns {Promise<Order>} */
async function orderOf(source) {
  const base = new URL('../', import.meta.url);
  if (source.kind === 'url-folder') return { kind: 'folder', url: source.url, name: source.name, files: source.files, asked: source.asked };
  if (source.kind !== 'bundled' && source.kind !== 'url') throw new Error('a chosen file is not fetched');
  const url = source.kind === 'bundled' ? new URL(BUNDLED, base) : new URL(source.url, base);
  const { files } = await manifest();
  const known = url.href.startsWith(base.href) ? files[url.href.slice(base.href.length)] : undefined;
  const name = decodeURIComponent(url.pathname.split('/').at(-1) ?? '') || url.host;
  // A catalogue tells what the file must be; of a typed address nothing is known.
  const told = source.kind === 'url' ? source : undefined;
  const sha256 = known?.sha256 ?? told?.sha256 ?? '';
  if (!sha256 && !isFileAddress(url)) return { kind: 'address', url: url.href };
  return { kind: 'file', url: url.href, name, size: known?.size ?? told?.size ?? 0, sha256 };
}

/** @param {string} stored @param {string} name @returns {Promise<OpenedModel>} a model that lies on the device, whole */
async function openStored(stored, name) {
  const folder = await modelFolder();
  const opened = folder && (await openStoredModel(folder, stored, name));
  if (!opened) throw gone();
  return opened;
}

/**
 * Open a model as a Blob, or as several, fetching it where needed. Asking for another one gives up the one
 * being fetched (what has arrived is kept); asking for the same one again shares it.
 *
 * @param {ModelSource} source
 * @param {(progress: Progress) => void} onProgress
 * @returns {Promise<OpenedModel>}
 */
export function openModel(source, onProgress) {
  if (source.kind !== 'bundled' && source.kind !== 'url' && source.kind !== 'url-folder') {
    current?.abort.abort();
    current = null;
    if (source.kind === 'stored') return openStored(source.stored, source.name);
    if (source.kind === 'folder') return Promise.resolve({ files: source.files, name: source.name });
    return Promise.resolve({ blob: source.file, name: source.file.name });
  }
  if (isCancelled) return Promise.reject(cancelled());
  const key = keyOf(source);
  if (current?.key === key) return current.opened;
  current?.abort.abort();
  const abort = new AbortController();
  const opened = orderOf(source).then((order) => downloadElsewhere(order, abort.signal, onProgress));
  const mine = { key, abort, opened };
  current = mine;
  const forget = () => {
    if (current === mine) current = null;
  };
  opened.then(forget, forget);
  return opened;
}

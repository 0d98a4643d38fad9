// @ts-check
/** Requests to the worker, and events from it. */

import { learn, t } from './messages/messages.js';

/** A sentence from the worker for the person to read. */
export class StudioError extends Error {
  /**
   * @param {string} message
   * @param {string} kind the class of the error, e.g. AdapterError
   * @param {string[]} problems the sentences of the message, where there are several
   */
  constructor(message, kind, problems = []) {
    super(message);
    this.kind = kind;
    this.problems = problems;
  }
}

/** @typedef {{resolve: (value: any) => void, reject: (error: Error) => void}} Waiting */

/** The one line between the page and the worker that runs Python and the GPU. */
export class Studio {
  constructor() {
    /** @type {Worker|null} */
    this.worker = null;
    this.nextId = 1;
    /** @type {Map<number, Waiting>} */
    this.waiting = new Map();
    /** @type {Map<string, ((event: any) => void)[]>} */
    this.listeners = new Map();
  }

  /** Start the worker; before this, and without WebGPU, requests are refused. */
  start() {
    this.worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'lora-lab' });
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const reason = event.message || t('a part of the page could not be fetched');
      const error = new StudioError(t('The engine stopped: {reason}. Reload the page; your text is kept if you copy it first.', { reason }), 'WorkerError');
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
      this.receive({ type: 'error', message: error.message, kind: error.kind });
      this.receive({ type: 'status', status: 'error' });
    };
  }

  /** @param {any} data */
  receive(data) {
    learn(data.words);
    if (typeof data.id !== 'number') {
      for (const listener of this.listeners.get(data.type) ?? []) listener(data);
      return;
    }
    const waiting = this.waiting.get(data.id);
    this.waiting.delete(data.id);
    if (data.error !== undefined) waiting?.reject(new StudioError(data.error, data.kind, data.problems));
    else waiting?.resolve(data.result);
  }

  /**
   * Send a request and wait for its answer.
   * @param {string} type
   * @param {object} [fields]
   * @param {(id: number) => void} [onId] told the request's id before it is sent
   * @returns {Promise<any>}
   */
  request(type, fields = {}, onId) {
    const id = this.nextId++;
    onId?.(id);
    const { worker } = this;
    if (!worker) return Promise.reject(new StudioError(t('There is no GPU to do this on: see the help on this page.'), 'NoAdapterError'));
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      worker.postMessage({ ...fields, id, type });
    });
  }

  /**
   * @param {string} type
   * @param {(event: any) => void} listener
   */
  on(type, listener) {
    this.listeners.set(type, [...(this.listeners.get(type) ?? []), listener]);
  }
}

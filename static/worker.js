// @ts-check
/**
 * The worker: boots Python and hands it the page's requests. Training is asynchronous
 * Python that yields whenever it waits for the GPU, so requests (pause, stop, a new token
 * count) are taken in the middle of a run.
 */

import { bootPython } from './boot.js';
import { checkpointStore, tunedStore } from './kept/checkpoint-store.js';
import { say } from './messages/mark.js';
import { allowModel, cancelModel, openModel } from './download/model-store.js';
import { tryToConnect } from './policy.js';
import { tuningStore } from './kept/tuning-store.js';

/** @typedef {{start: (post: (message: any) => void, openModel: any, tunings: any, checkpoints: any, models: any) => Promise<(message: any) => void>}} StudioModule */

/** @param {any} message */
const post = (message) => globalThis.postMessage(message);

/** @type {any[]} requests that came before Python was up */
const early = [];
/** @type {((message: any) => void)|null} */
let handle = null;

onmessage = ({ data }) => {
  if (data.type === 'load-model') allowModel(data.source);
  if (data.type === 'cancel-download') {
    cancelModel(); // needs no Python, which may not be up yet
    post({ id: data.id, result: null });
    return;
  }
  if (data.type === 'try-to-connect') {
    void tryToConnect().then((isRefused) => post({ id: data.id, result: isRefused }));
    return;
  }
  if (handle) handle(data);
  else {
    early.push(data);
    // Fetching the model needs no Python: let both happen at once.
    if (data.type === 'load-model') openModel(data.source, postProgress).catch(() => {});
  }
};

/** @param {{name: string, loaded: number, total: number, stage?: string}} progress */
function postProgress({ name, loaded, total, stage = 'download' }) {
  post({ type: 'model-progress', name, stage, loaded_bytes: loaded, total_bytes: total });
}

try {
  const pyodide = await bootPython((boot) => post({ type: 'boot', ...boot }));
  /** @type {StudioModule} */
  const studio = pyodide.pyimport('app.studio.worker');
  performance.mark('package');
  handle = await studio.start(post, (/** @type {any} */ source) => openModel(source, postProgress), tuningStore, checkpointStore, tunedStore);
  for (const message of early) handle(message);
} catch (error) {
  const reason = error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error);
  const sentence = say('The engine could not start ({reason}): reload the page, and if that does not help, clear this site’s data.', { reason: String(reason) });
  post({ type: 'error', message: sentence, kind: 'BootError' });
  post({ type: 'status', status: 'error' });
  handle = ({ id }) => post({ id, error: sentence, kind: 'BootError' });
  for (const message of early) handle(message);
}

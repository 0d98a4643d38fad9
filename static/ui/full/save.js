// @ts-check
/** Handing out the model whose weights were all trained: pieces come, a file goes. */

import { t } from '../../messages/messages.js';
import { update } from '../../store.js';
import { saveFile } from '../dom.js';
import { showFailure } from '../messages.js';

/** @import {Studio} from '../../api.js' */

/** The file that is on its way: its pieces by where they belong. @type {{id: number, pieces: Map<number, Blob>}|null} */
let coming = null;

/**
 * Hand the whole model to the person, as a zipped folder that transformers loads.
 * @param {Studio} studio
 * @returns {Promise<boolean>} whether it was handed out
 */
export async function saveModel(studio) {
  /** @type {Map<number, Blob>} */
  const pieces = new Map();
  try {
    const { filename, bytes } = await studio.request('export-model', {}, (id) => {
      coming = { id, pieces };
      update({ tunedShare: 0 });
    });
    const file = new Blob([...pieces].sort(([a], [b]) => a - b).map(([, piece]) => piece), { type: 'application/zip' });
    if (file.size !== bytes) throw new Error(t('The file has {found} bytes in place of {wanted}: try again.', { found: file.size, wanted: bytes }));
    saveFile(file, filename);
    return true;
  } catch (error) {
    showFailure(error);
    return false;
  } finally {
    coming = null;
    update({ tunedShare: null });
  }
}

/** @param {Studio} studio */
export function mountFullSave(studio) {
  studio.on('model-piece', ({ request, offset, bytes, fraction }) => {
    const file = coming;
    if (!file || file.id !== request) return;
    // Each a Blob of its own: the browser may keep those on disk, never an array.
    file.pieces.set(offset, new Blob([bytes]));
    update({ tunedShare: fraction });
  });
}

// @ts-check
/** The whole page takes files: text to learn from, an adapter, a model. */

import { t } from '../messages/messages.js';
import { element } from './dom.js';
import { droppedFiles, isModelFolder } from './folders.js';
import { showError } from './messages.js';

const TEXT = /\.(txt|text|md|markdown|csv|tsv|json|jsonl|html?|tex|rst|org|log)$/i;
const ADAPTER_CONFIG = /^adapter_config.*\.json$/i;

/**
 * @typedef {object} Targets
 * @property {(files: File[]) => void} corpus
 * @property {(files: File[]) => void} adapter one or several .safetensors, .lorabits or .zip and, where given, a config
 * @property {(file: File) => void} model
 * @property {(files: File[], name: string) => void} modelFolder a HuggingFace model's files, and the folder's name
 */

/**
 * Send files where they belong, by their names.
 * @param {File[]} files
 * @param {Targets} targets
 * @param {string} [folder] name of the folder that they come from
 */
export function sortFiles(files, targets, folder = 'model') {
  if (isModelFolder(files)) {
    targets.modelFolder(files, folder);
    return;
  }
  const adapter = files.filter((file) => /\.(safetensors|lorabits|zip)$/i.test(file.name));
  const configs = files.filter((file) => ADAPTER_CONFIG.test(file.name));
  const model = files.find((file) => /\.gguf$/i.test(file.name));
  const texts = files.filter((file) => !configs.includes(file) && (TEXT.test(file.name) || file.type.startsWith('text/')));
  if (adapter.length) targets.adapter([...adapter, ...configs]);
  else if (model) targets.model(model);
  else if (texts.length) targets.corpus(texts);
  else if (configs.length) showError(t('That is only the description of an adapter: drop adapter_model.safetensors together with it.'));
  else if (files[0]) showError(t('{name} is of a kind that is not read here: drop a .txt text, a .safetensors adapter, a .gguf model or a model’s folder.', { name: files[0].name }));
}

/** @param {Targets} targets */
export function mountDrops(targets) {
  const veil = element('drop-veil');
  let depth = 0;
  /** @param {DragEvent} event */
  const carriesFiles = (event) => event.dataTransfer?.types.includes('Files') ?? false;

  addEventListener('dragenter', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth += 1;
    veil.hidden = false;
  });
  addEventListener('dragover', (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  addEventListener('dragleave', (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  addEventListener('drop', (event) => {
    depth = 0;
    veil.hidden = true;
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    droppedFiles(event.dataTransfer).then(
      ({ files, name }) => sortFiles(files, targets, name),
      () => showError(t('The folder cannot be read: drop its files instead.')),
    );
  });
}

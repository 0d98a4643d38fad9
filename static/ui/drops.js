// @ts-check
/** The whole page takes files: text to learn from, an adapter, a model. */

import { locale, t } from '../messages/messages.js';
import { element } from './dom.js';
import { droppedFiles, isModelFolder } from './folders.js';
import { showError } from './messages.js';
import { clearNotice, showNotice } from './notices.js';

const TEXT = /\.(txt|text|md|markdown|csv|tsv|json|jsonl|html?|tex|rst|org|log)$/i;
/** README, LICENSE: read as text; what is none is refused once its bytes are seen. */
const NO_ENDING = /^[^.]+$/;
const ADAPTER_CONFIG = /^adapter_config.*\.json$/i;

const UNREAD = 'unread';

/**
 * @typedef {object} Targets
 * @property {(files: File[]) => void} corpus
 * @property {(files: File[]) => Promise<void>} adapter one or several .safetensors, .lorabits or .zip and, where given, a config
 * @property {(file: File) => Promise<void>|void} model resolves when it is loaded
 * @property {(files: File[], name: string) => void} modelFolder a HuggingFace model's files, and the folder's name
 */

/** @param {File[]} files in one sentence */
function describeUnread(files) {
  const names = [...new Set(files.map((file) => file.name))];
  return names.length === 1
    ? t('{name} is of a kind that is not read here. Texts are .txt, .md, .csv, .tsv, .json or .jsonl; adapters .safetensors or .zip; models .gguf or a folder.', { name: names[0] })
    : t('{names} are of kinds that are not read here. Texts are .txt, .md, .csv, .tsv, .json or .jsonl; adapters .safetensors or .zip; models .gguf or a folder.', { names: new Intl.ListFormat(locale()).format(names) });
}

/**
 * Which files belong where, by their names.
 * @param {File[]} files
 */
export function kindsOf(files) {
  /** @param {(file: File) => boolean} isOne */
  const take = (isOne) => files.filter(isOne);
  const adapters = take((file) => /\.(safetensors|lorabits|zip)$/i.test(file.name));
  const configs = take((file) => ADAPTER_CONFIG.test(file.name));
  const [model, ...more] = take((file) => /\.gguf$/i.test(file.name));
  const texts = take((file) => !configs.includes(file) && !adapters.includes(file) && file !== model && !more.includes(file) && (TEXT.test(file.name) || NO_ENDING.test(file.name) || file.type.startsWith('text/')));
  const known = [...adapters, ...configs, ...texts, ...more, ...(model ? [model] : [])];
  return { adapters, configs, model, more, texts, unread: take((file) => !known.includes(file)) };
}

/**
 * Send files where they belong, and name those that belong nowhere.
 * @param {File[]} files
 * @param {Targets} targets
 * @param {string} [folder] name of the folder that they come from
 */
export async function sortFiles(files, targets, folder = 'model') {
  clearNotice(UNREAD);
  clearNotice('one-model');
  if (isModelFolder(files)) {
    targets.modelFolder(files, folder);
    return;
  }
  const { adapters, configs, model, more, texts, unread } = kindsOf(files);
  const isTaken = adapters.length > 0 || model !== undefined || texts.length > 0;
  if (unread.length) {
    if (isTaken) showNotice(UNREAD, describeUnread(unread));
    else return showError(describeUnread(unread));
  }
  if (!isTaken && configs.length) return showError(t('That is only the description of an adapter: drop adapter_model.safetensors together with it.'));
  if (more.length) showNotice('one-model', t('{name} was taken: one model is used at a time.', { name: model?.name ?? '' }));
  if (texts.length) targets.corpus(texts);
  if (model) await targets.model(model);
  if (adapters.length) await targets.adapter([...adapters, ...configs]);
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
      ({ files, name }) => void sortFiles(files, targets, name),
      () => showError(t('The folder cannot be read: drop its files instead.')),
    );
  });
}

// @ts-check
/** The text to learn from: typed, pasted, chosen, dropped, or a sample. */

import { plural, t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { button, debounce, element, input, make, setText, textarea } from '../dom.js';
import { formatBytes } from '../format.js';
import { clearError, showError, showFailure } from '../messages.js';

/** @import {Studio} from '../../api.js' */
/** @import {Corpus, Count} from '../../types.js' */

/** The same limit as app.text.corpus has; told here before anything is read. */
export const MAX_CORPUS_BYTES = 50_000_000;
/** A textarea of more than this makes typing stutter: longer texts are kept as a file. */
const MAX_TYPED_CHARACTERS = 400_000;
const COUNT_AFTER_MS = 350;

/** Chosen files; none where the text is typed. @type {File[]} */
let files = [];

/** By the person, since it was last counted: an error about the text before may be over. */
let isChanged = false;
/** The links to samples are there. @type {Promise<void>} */
let samplesShown = Promise.resolve();

/** @returns {Corpus} */
export const currentCorpus = () => (files.length
  ? { files: files.map((file) => ({ file, name: file.name })) }
  : { text: textarea('corpus-text').value });

function changed() {
  const hasCorpus = files.length > 0 || textarea('corpus-text').value.trim() !== '';
  update({ corpusVersion: state.corpusVersion + 1, hasCorpus, count: null });
}

/** @param {File[]} chosen instead of what was there */
export function useCorpusFiles(chosen) {
  const size = chosen.reduce((sum, file) => sum + file.size, 0);
  const name = chosen.length === 1 ? chosen[0].name : t('{number} files', { number: chosen.length });
  if (size >= MAX_CORPUS_BYTES) {
    const values = { name, size: formatBytes(size), most: formatBytes(MAX_CORPUS_BYTES) };
    showError(chosen.length === 1
      ? t('{name} has {size} and a text must be smaller than {most}: cut it into parts and train on one of them.', values)
      : t('{name} have {size} and a text must be smaller than {most}: cut it into parts and train on one of them.', values));
    return;
  }
  clearError();
  files = chosen;
  const chip = element('corpus-chip-name');
  setText(chip, `${name} · ${formatBytes(size)}`);
  chip.title = chosen.map((file) => file.name).join('\n');
  element('corpus-chip').hidden = false;
  changed();
}

function removeFiles() {
  files = [];
  element('corpus-chip').hidden = true;
  changed();
}

/**
 * Put a text into the box, as if it had been typed.
 * @param {string} text
 */
function useText(text) {
  textarea('corpus-text').value = text;
  removeFiles();
}

/** The text as files, to be kept. @returns {import('../../kept/kept.js').KeptText} */
export function typedOrChosen() {
  const typed = textarea('corpus-text').value;
  if (files.length) return { isTyped: false, files };
  return { isTyped: true, files: typed ? [new File([typed], 'text')] : [] };
}

/** @param {import('../../kept/kept.js').KeptText} text */
export async function restoreCorpus({ isTyped, files: restored }) {
  if (!isTyped) useCorpusFiles(restored);
  else if (restored[0]) useText(await restored[0].text());
}

/** @param {ClipboardEvent} event */
function keepLongPasteAside(event) {
  const text = event.clipboardData?.getData('text/plain') ?? '';
  if (text.length <= MAX_TYPED_CHARACTERS) return;
  event.preventDefault();
  useCorpusFiles([new File([text], t('pasted text'), { type: 'text/plain' })]);
}

async function mountSamples() {
  const place = element('samples');
  try {
    const response = await fetch(new URL('../../samples/index.json', import.meta.url));
    if (!response.ok) return;
    /** @type {{title: string, file: string, description: string, question: string}[]} */
    const samples = await response.json();
    const links = samples.map((sample) => {
      const link = make('button', { type: 'button', class: 'link', title: t(sample.description), text: t(sample.title) });
      link.dataset['sample'] = sample.file;
      link.addEventListener('click', async () => {
        const text = await fetch(new URL(`../../samples/${sample.file}`, import.meta.url));
        if (!text.ok) return showError(t('The sample could not be fetched ({status}): check the connection and try again.', { status: text.status }));
        clearError();
        useText(await text.text());
        update({ question: sample.question });
      });
      return link;
    });
    if (links.length) place.append(t('or try a sample:'), ...links);
  } catch (error) {
    console.warn('samples are not available', error);
  }
}

/** Take the first sample, as soon as there is one. */
export async function useFirstSample() {
  await samplesShown;
  element('samples').querySelector('button')?.click();
}

/** @param {Studio} studio */
async function count(studio) {
  if (!state.model || !state.hasCorpus) return;
  const version = state.corpusVersion;
  try {
    /** @type {Count} */
    const result = await studio.request('count-tokens', { corpus: currentCorpus() });
    if (version !== state.corpusVersion) return;
    if (isChanged) clearError('text');
    isChanged = false;
    update({ count: result });
  } catch (error) {
    if (version !== state.corpusVersion) return;
    showFailure(error);
    // A file that is no text makes room again for what was typed before, which counts well and
    // takes no error away.
    isChanged = false;
    if (files.length) removeFiles();
  }
}

function describe() {
  if (!state.hasCorpus) return '–';
  if (state.count) return plural(state.count.num_tokens, { one: '{count} token', other: '{count} tokens' });
  return state.model ? t('counting…') : t('counted once the model is loaded');
}

/** @param {Studio} studio */
export function mountCorpus(studio) {
  const box = textarea('corpus-text');
  box.addEventListener('input', () => {
    isChanged = true;
    update({ question: '' });
    removeFiles();
  });
  box.addEventListener('paste', keepLongPasteAside);
  input('corpus-file').addEventListener('change', () => {
    const chosen = [...(input('corpus-file').files ?? [])];
    if (chosen.length) useCorpusFiles(chosen);
    input('corpus-file').value = '';
  });
  button('corpus-chip-remove').addEventListener('click', () => {
    isChanged = true;
    removeFiles();
    box.focus(); // the button is gone, and here the next text goes
  });

  watch(['corpusVersion', 'model'], debounce(COUNT_AFTER_MS, () => void count(studio)));
  watch(['count', 'hasCorpus', 'model'], () => {
    const node = element('corpus-count');
    setText(node, describe());
    if (state.count) node.dataset['value'] = String(state.count.num_tokens);
    else delete node.dataset['value'];
  });
  // A reload may bring back what was typed before.
  if (box.value) changed();
  samplesShown = mountSamples();
}

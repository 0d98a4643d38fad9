// @ts-check
/** The chat panel: who answers, the box to write in, and what is said about the conversation. */

import { t } from '../../messages/messages.js';
import { isSearching, state, update, watch } from '../../store.js';
import { ContextLine } from './context.js';
import { focusComposer } from './focus.js';
import { mountChatSettings } from './settings.js';
import { Talk } from './talk.js';
import { mountVoices, other, voices } from './voices.js';
import { button, byId, element, input, make, setText, textarea } from '../dom.js';
import { clearError } from '../messages.js';

/** @import {Studio} from '../../api.js' */

/** English in every language: so is what the bundled model learnt. */
const FIRST_QUESTIONS = ['Explain gravity in one sentence.', 'Write two lines about the sea.'];

/** @param {Talk} talk @param {ContextLine} context */
async function send(talk, context) {
  const box = textarea('chat-input');
  const question = box.value.trim();
  if (!question || !talk.canSend()) return;
  box.value = '';
  // Nothing that was typed is lost: without an answer the question goes back into the box.
  if (!(await talk.ask(question)) && !box.value) {
    box.value = question;
    context.changed();
  }
}

function placeholder() {
  if (state.isWaiting) return t('The other tab works; you can type already');
  if (state.model === null && state.supported && state.status === 'error') return t('Load a model first; you can type already');
  if (state.model === null) return state.supported ? t('The model is still loading; you can type already') : t('Ask the model something');
  if (isSearching()) return t('A learning rate is being looked for: stop it to talk');
  if (state.status === 'training') return t('Training is on: pause it to talk');
  const [voice, second] = voices();
  if (second) return t('Ask both something');
  return voice?.key === 'base' ? t('Ask the base model something') : t('Ask the trained model something');
}

/** @param {Talk} talk */
function render(talk) {
  const canSend = talk.canSend();
  button('chat-send').disabled = !canSend;
  button('chat-send').hidden = talk.isAnswering;
  button('chat-stop').hidden = !talk.isAnswering;
  button('chat-clear').disabled = talk.thread.turns.length === 0 || talk.isAnswering;
  for (const node of talk.log.querySelectorAll('.user .msg-actions button, .aside button')) {
    if (node instanceof HTMLButtonElement) node.disabled = !canSend;
  }
  const chosen = other();
  const noAdapter = chosen === null;
  setText(element('switch-lora'), chosen?.isTuned ? t('Tuned') : 'LoRA');
  const why = noAdapter ? t('Train an adapter or load one first') : '';
  const box = input('use-lora');
  box.disabled = noAdapter || state.compare;
  box.checked = state.useLora && !noAdapter;
  box.setAttribute('aria-label', chosen?.isTuned ? t('Use the trained model') : t('Use the LoRA adapter'));
  box.title = why || (state.compare ? t('Both answer, side by side') : '');
  const compare = button('chat-compare');
  compare.disabled = noAdapter;
  compare.setAttribute('aria-pressed', String(state.compare && !noAdapter));
  compare.title = why;
  textarea('chat-input').placeholder = placeholder();
  renderSuggestions(talk);
}

/** @param {Talk} talk */
function renderSuggestions(talk) {
  const questions = state.question ? [state.question] : talk.thread.turns.length === 0 ? FIRST_QUESTIONS : [];
  const place = element('chat-suggest');
  if (place.dataset['for'] === questions.join('|')) return;
  place.dataset['for'] = questions.join('|');
  const chips = questions.map((question) => {
    const chip = make('button', { type: 'button', text: question, translate: 'no', lang: 'en' });
    chip.addEventListener('click', () => {
      textarea('chat-input').value = question;
      textarea('chat-input').dispatchEvent(new Event('input'));
      if (talk.canSend()) byId('chat-form', HTMLFormElement).requestSubmit();
      else textarea('chat-input').focus();
    });
    return chip;
  });
  place.replaceChildren(...(chips.length ? [make('span', { class: 'hint', text: t('Try:') }), ...chips] : []));
}

/** @param {Studio} studio */
export function mountChat(studio) {
  const talk = new Talk(studio, element('chat-log'), () => {
    context.changed();
    render(talk);
  });
  const context = new ContextLine(studio, talk.thread);
  studio.on('token', (token) => talk.receive(token));
  byId('chat-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void send(talk, context);
  });
  textarea('chat-input').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void send(talk, context);
  });
  button('chat-stop').addEventListener('click', () => talk.stop());
  button('chat-clear').addEventListener('click', () => {
    talk.clear();
    clearError('chat'); // it was about what is gone
    context.changed();
    render(talk);
    focusComposer();
  });
  input('use-lora').addEventListener('change', () => update({ useLora: input('use-lora').checked }));
  button('chat-compare').addEventListener('click', () => update({ compare: !state.compare }));
  mountChatSettings();
  mountVoices(studio);
  watch(['status', 'model', 'adapter', 'shelf', 'tuned', 'useTuned', 'useLora', 'compare', 'supported', 'question', 'isWaiting'], () => render(talk));
}

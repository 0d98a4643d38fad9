// @ts-check
/**
 * The part of a conversation that an edit or Clear took away: it can be brought back as long as the
 * page is open. One such part; nothing of it is stored.
 */

import { plural } from '../../messages/messages.js';
import { make } from '../dom.js';
import { smallButton } from './log.js';

/** @import {Turn} from './thread.js' */

/** @param {Turn[]} turns */
export const numMessages = (turns) => turns.reduce((sum, { answers }) => sum + 1 + answers.size, 0);

export class Aside {
  /** @param {() => void} onBack called when it is wanted back */
  constructor(onBack) {
    this.onBack = onBack;
    /** @type {Turn[]} */
    this.turns = [];
    this.index = 0;
  }

  /** @param {Turn[]} turns in the place of what was aside @param {number} index where in the conversation they stood */
  put(turns, index) {
    this.turns = turns;
    this.index = index;
  }

  /** Offer it where it would come back. @param {HTMLElement} log */
  show(log) {
    log.querySelector('.aside')?.remove();
    const { turns, index } = this;
    if (!turns.length) return;
    const turn = log.querySelectorAll('.turn')[index];
    // What took the place of an edited message is counted from the message after it.
    const text = turn && turns.length > 1
      ? plural(numMessages(turns.slice(1)), { one: 'Bring back the message as it was and {count} after it', other: 'Bring back the message as it was and the {count} after it' })
      : plural(numMessages(turns), { one: 'Bring back {count} message', other: 'Bring back {count} messages' });
    const node = make('p', { class: 'aside', 'data-testid': 'chat-aside' }, smallButton(text, text, this.onBack));
    if (turn) turn.after(node);
    else log.append(node);
  }
}

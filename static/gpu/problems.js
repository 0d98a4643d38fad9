// @ts-check
/**
 * What went wrong on a device, until Python asks: app/gpu/browser.py makes the sentences.
 * Nothing in it is null: that would be jsnull in Python, not None.
 */

/**
 * @typedef {object} Problem
 * @property {'memory'|'lost'|'other'} kind
 * @property {string} message as the browser told it
 * @property {string} label of the buffer that could not be made, where it is one
 * @property {number} sizeBytes of that buffer
 */

/** What is told of one device: after these, the others are their consequences. */
const MOST = 8;

export class Problems {
  constructor() {
    /** @type {Problem[]} */
    this.list = [];
    /** @type {Problem|undefined} the device is gone, and stays so */
    this.loss = undefined;
  }

  /** @param {'memory'|'other'} kind @param {string} message @param {{label?: string, sizeBytes?: number}} [buffer] */
  report(kind, message, { label = '', sizeBytes = 0 } = {}) {
    if (this.list.length < MOST) this.list.push({ kind, message, label, sizeBytes });
  }

  /** @param {string} message */
  lose(message) {
    this.loss = { kind: 'lost', message, label: '', sizeBytes: 0 };
  }

  /** @returns {Problem|undefined} the gravest one; the others were its consequences */
  take() {
    const problems = this.list.splice(0);
    return this.loss ?? problems.find(({ kind }) => kind === 'memory') ?? problems[0];
  }
}

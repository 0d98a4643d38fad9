// A private file system with folders, in memory; it counts what is written and fills up when told to.

class File {
  constructor(tree, text = '') {
    Object.assign(this, { tree, text, kind: 'file' });
  }

  async getFile() {
    return { size: Buffer.byteLength(this.text), text: async () => this.text };
  }

  async createWritable() {
    let text = '';
    return {
      write: async (part) => {
        this.tree.written += part.length;
        if (this.tree.written > this.tree.room) throw new DOMException('full', 'QuotaExceededError');
        text += part;
      },
      close: async () => {
        this.text = text;
      },
      abort: async () => {},
    };
  }
}

export class Tree {
  constructor(root) {
    Object.assign(this, { root: root ?? this, names: new Map(), kind: 'directory', written: 0, room: Infinity });
  }

  async handle(name, create, make, kind) {
    if (!this.names.has(name)) {
      if (!create) throw new DOMException(name, 'NotFoundError');
      this.names.set(name, make());
    }
    const found = this.names.get(name);
    if (found.kind !== kind) throw new DOMException(name, 'TypeMismatchError');
    return found;
  }

  getDirectoryHandle(name, { create = false } = {}) {
    return this.handle(name, create, () => new Tree(this.root), 'directory');
  }

  getFileHandle(name, { create = false } = {}) {
    return this.handle(name, create, () => new File(this.root), 'file');
  }

  async removeEntry(name) {
    if (!this.names.delete(name)) throw new DOMException(name, 'NotFoundError');
  }

  async* entries() {
    yield* [...this.names];
  }

  /** The text at a path. */
  text(...path) {
    return path.reduce((place, name) => place.names.get(name), this).text;
  }

  /** Put a text at a path. */
  async put(text, ...path) {
    let place = this;
    for (const name of path.slice(0, -1)) place = await place.getDirectoryHandle(name, { create: true });
    place.names.set(path.at(-1), new File(this.root, text));
  }
}

/** @param {Tree|null} tree null: a browser without a private file system */
export function useTree(tree) {
  const storage = {
    getDirectory: async () => {
      if (!tree) throw new DOMException('no', 'SecurityError');
      return tree;
    },
  };
  Object.defineProperty(globalThis, 'navigator', { value: { storage }, configurable: true });
}

// A private file system in memory, and a server that breaks off when told to.

import { createHash } from 'node:crypto';

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

class Handle {
  constructor(folder, name) {
    this.folder = folder;
    this.name = name;
  }

  async getFile() {
    return new File([this.folder.files.get(this.name)], this.name);
  }

  async createWritable() {
    const parts = [];
    return {
      write: async (part) => parts.push(part),
      close: async () => this.folder.files.set(this.name, Buffer.from(parts.join(''))),
    };
  }

  async createSyncAccessHandle() {
    const { folder, name } = this;
    if (folder.locked.has(name)) throw new DOMException('in use', 'NoModificationAllowedError');
    folder.locked.add(name);
    return {
      getSize: () => folder.files.get(name).length,
      truncate: (size) => folder.files.set(name, folder.files.get(name).subarray(0, size)),
      write(chunk, { at }) {
        if (at + chunk.length > folder.room) throw new DOMException('full', 'QuotaExceededError');
        folder.files.set(name, Buffer.concat([folder.files.get(name).subarray(0, at), chunk]));
        return chunk.length;
      },
      flush() {},
      close: () => folder.locked.delete(name),
    };
  }
}

export class Folder {
  constructor(room = Infinity) {
    this.files = new Map();
    this.locked = new Set();
    this.room = room;
  }

  async getDirectoryHandle() {
    return this;
  }

  async getFileHandle(name, { create = false } = {}) {
    if (!this.files.has(name)) {
      if (!create) throw new DOMException(name, 'NotFoundError');
      this.files.set(name, Buffer.alloc(0));
    }
    return new Handle(this, name);
  }

  async removeEntry(name) {
    this.files.delete(name);
  }
}

// `folder` null: a browser without a private file system.
export function useFolder(folder) {
  const storage = {
    getDirectory: async () => {
      if (!folder) throw new DOMException('no', 'SecurityError');
      return folder;
    },
    estimate: async () => ({ quota: 1e12, usage: 0 }),
  };
  Object.defineProperty(globalThis, 'navigator', { value: { storage }, configurable: true });
}

// Serves bytes; `breaks` says after how many bytes each answer breaks off.
export class Server {
  constructor(bytes, { breaks = [], status = 200, etag = '"one"', resumes = true } = {}) {
    Object.assign(this, { bytes, breaks: [...breaks], status, etag, resumes, requests: [] });
    globalThis.fetch = async (url, init = {}) => this.answer(String(url), init);
  }

  async answer(url, { headers = {}, method = 'GET', signal }) {
    this.requests.push({ method, range: headers['Range'] ?? '' });
    if (this.status !== 200) return new Response('', { status: this.status });
    const start = !this.resumes ? 0 : Number(/bytes=(\d+)-/.exec(headers['Range'] ?? '')?.[1] ?? 0);
    const part = this.bytes.subarray(start);
    const answered = { 'content-length': String(part.length), ...(this.etag ? { etag: this.etag } : {}) };
    if (method === 'HEAD') return new Response(null, { headers: answered });
    const end = this.breaks.shift() ?? Infinity;
    let at = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (signal?.aborted) return controller.error(new DOMException('aborted', 'AbortError'));
        if (at >= end) return controller.error(new TypeError('network error'));
        if (at >= part.length) return controller.close();
        const next = Math.min(at + 1000, end, part.length);
        controller.enqueue(new Uint8Array(part.subarray(at, next)));
        at = next;
      },
    }, { highWaterMark: 0 });
    return new Response(body, { status: start ? 206 : 200, headers: answered });
  }

  get ranges() {
    return this.requests.filter(({ method }) => method === 'GET').map(({ range }) => range);
  }
}

// Let the search work from a disk: browsers start no Worker from file://, so a hidden frame takes its place there.
if (window.location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      const script = new URL(address, document.baseURI).href;
      this.frame.srcdoc = `<script>
        window.importScripts = (...addresses) => Promise.all(addresses.map((address) => new Promise((done, failed) => {
          const part = document.createElement("script");
          part.src = new URL(address, ${JSON.stringify(script)}).href;
          part.onload = done;
          part.onerror = failed;
          document.head.append(part);
        })));
        self.postMessage = (data) => parent.dispatchEvent(new MessageEvent("crushtest-worker", {data}));
      </` + `script><script src="${script}"></` + `script>`;
      this.frame.addEventListener("load", () => {
        const held = this.waiting;
        this.waiting = null;
        held.forEach((data) => this.postMessage(data));
      });
      window.addEventListener("crushtest-worker", (event) => {
        const told = new MessageEvent("message", {data: event.data});
        this.dispatchEvent(told);
        if (this.onmessage) this.onmessage(told);
      });
      document.body.append(this.frame);
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data}));
    }
    terminate() {
      this.frame.remove();
    }
  };
}

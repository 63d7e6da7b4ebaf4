"use strict";

// A small map of one layer in Web Mercator tiles, which can be dragged and zoomed. A real application
// uses a map library with the same URL template.
class TileMap {
  static SIZE = 256;
  static MAX_ZOOM = 14;

  constructor(element, template, onError) {
    this.element = element;
    this.template = template;
    this.onError = onError;
    this.tiles = new Map();
    this.zoom = 2;
    // The center of the view in pixels of this zoom level.
    this.center = { x: 512, y: 400 };
    this.addControls();
    new ResizeObserver(() => this.draw()).observe(element);
  }

  addControls() {
    const controls = document.createElement("div");
    controls.className = "zoom";
    for (const [text, name, step] of [["+", "Zoom in", 1], ["−", "Zoom out", -1]]) {
      const button = document.createElement("button");
      button.textContent = text;
      button.ariaLabel = name;
      button.onclick = () => this.zoomBy(step);
      controls.append(button);
    }
    this.element.replaceChildren(controls);
    let last = null;
    this.element.onpointerdown = (event) => {
      if (!event.target.closest(".zoom")) {
        last = event;
        this.element.setPointerCapture(event.pointerId);
      }
    };
    this.element.onpointermove = (event) => {
      if (last) {
        this.moveBy(last.clientX - event.clientX, last.clientY - event.clientY);
        last = event;
      }
    };
    this.element.onpointerup = this.element.onpointercancel = () => { last = null; };
    this.element.onwheel = (event) => {
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1 : -1);
    };
    const keys = { ArrowLeft: [-64, 0], ArrowRight: [64, 0], ArrowUp: [0, -64], ArrowDown: [0, 64] };
    this.element.onkeydown = (event) => {
      if (keys[event.key]) {
        event.preventDefault();
        this.moveBy(...keys[event.key]);
      } else if (event.key === "+" || event.key === "-") {
        this.zoomBy(event.key === "+" ? 1 : -1);
      }
    };
  }

  moveBy(x, y) {
    this.center = { x: this.center.x + x, y: this.center.y + y };
    this.draw();
  }

  zoomBy(step) {
    const zoom = Math.min(Math.max(this.zoom + step, 0), TileMap.MAX_ZOOM);
    const scale = 2 ** (zoom - this.zoom);
    this.zoom = zoom;
    this.center = { x: this.center.x * scale, y: this.center.y * scale };
    this.draw();
  }

  // Shows the tiles of the view, and removes all others.
  draw() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const world = 2 ** this.zoom;
    const limit = world * TileMap.SIZE;
    this.center.y = Math.min(Math.max(this.center.y, 0), limit);
    const left = Math.round(this.center.x - width / 2);
    const top = Math.round(this.center.y - height / 2);
    const column = (x) => Math.floor(x / TileMap.SIZE);
    const shown = new Set();
    for (let y = Math.max(column(top), 0); y <= Math.min(column(top + height), world - 1); y++) {
      for (let x = column(left); x <= column(left + width); x++) {
        const tile = this.tile(x, y, ((x % world) + world) % world);
        tile.style.left = `${x * TileMap.SIZE - left}px`;
        tile.style.top = `${y * TileMap.SIZE - top}px`;
        shown.add(tile);
      }
    }
    for (const [key, tile] of this.tiles) {
      if (!shown.has(tile)) {
        tile.remove();
        this.tiles.delete(key);
      }
    }
  }

  tile(x, y, wrapped) {
    const key = `${this.zoom}/${x}/${y}`;
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = document.createElement("img");
      tile.alt = "";
      tile.draggable = false;
      tile.onerror = this.onError;
      tile.src = this.template.replace("{z}", this.zoom).replace("{x}", wrapped).replace("{y}", y);
      this.tiles.set(key, tile);
      this.element.append(tile);
    }
    return tile;
  }
}

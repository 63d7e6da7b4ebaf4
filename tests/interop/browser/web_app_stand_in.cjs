// A user of the example web application whose projects have problems, at desktop and phone width.
"use strict";

const assert = require("node:assert/strict");
const { run, person, screenshot } = require("./browser.cjs");
const { hasMap, signIn } = require("./web_app_steps.cjs");

const site = process.argv[2];
const DESKTOP = { width: 1100, height: 760 };
const PHONE = { width: 390, height: 844 };

// Takes screenshots at both widths. Nothing is wider than the page.
async function show(page, name) {
  for (const [size, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    await page.setViewportSize(viewport);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= viewport.width, `${name} is ${width} pixels wide`);
    if (await page.isVisible("#map")) {
      await hasMap(page);
    }
    await screenshot(page, `web-app-${name}-${size}`);
  }
}

run(async (browser) => {
  const ada = await (await person(browser)).newPage();
  await ada.goto(site);
  await ada.waitForSelector("#signed-out:not([hidden])");
  await show(ada, "sign-in");
  await signIn(ada, "ada@example.com");
  const names = await ada.$$eval("#projects option", (options) => options.map((o) => o.textContent));
  assert.equal(names.length, 4, names.join());
  assert.ok(names.includes("Ada's forests (ada-forests)"), names.join());
  assert.ok(names.includes("New project (new-project), not ready for Earth Engine"), names.join());

  // A refusal says what to do in the browser, and links the page where it is done.
  for (const [project, text, page] of [
    ["new-project", "register it", "https://console.cloud.google.com/earth-engine"],
    ["old-project", "not enabled", "https://console."],
  ]) {
    await ada.selectOption("#projects", project);
    await ada.click("#choose");
    await ada.waitForFunction((name) => document.getElementById("message").textContent.includes(name), project);
    const message = await ada.textContent("#message");
    assert.ok(message.includes(text), message);
    assert.doesNotMatch(message, /eectl|gcloud|--|`|EARTHENGINE/);
    const link = await ada.getAttribute("#message a", "href");
    assert.ok(link.startsWith(page) && link.includes(project), link);
    await show(ada, project);
  }

  await ada.setViewportSize(DESKTOP);
  await ada.selectOption("#projects", "ada-forests");
  await ada.click("#choose");
  await ada.waitForSelector("#ready:not([hidden])");
  assert.equal(await ada.textContent("#message"), "");
  await hasMap(ada);

  // The map can be dragged and zoomed.
  const left = () => ada.locator("#map img[src*='/tiles/2/1/1']").first().evaluate((tile) => tile.offsetLeft);
  const before = await left();
  const box = await ada.locator("#map").boundingBox();
  await ada.mouse.move(box.x + 300, box.y + 150);
  await ada.mouse.down();
  await ada.mouse.move(box.x + 260, box.y + 150, { steps: 5 });
  await ada.mouse.up();
  assert.equal(await left(), before - 40);
  await ada.click("#map .zoom button >> nth=0");
  assert.equal(await ada.locator("#map img[src*='/tiles/2/']").count(), 0);
  await hasMap(ada);
  await ada.click("#compute");
  await ada.waitForFunction(() => document.getElementById("value").textContent !== "");
  await show(ada, "map");
});

// A user of the example web application, after its server was restarted.
"use strict";

const assert = require("node:assert/strict");
const { run, screenshot } = require("./browser.cjs");
const { hasMap } = require("./web_app_steps.cjs");

const [site, cookies] = process.argv.slice(2);

run(async (browser) => {
  const context = await browser.newContext({ storageState: cookies });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  await page.goto(site);
  await page.waitForSelector("#ready:not([hidden])");
  assert.equal(await page.textContent("#project"), "bob-project");
  await hasMap(page);
  await page.click("#compute");
  await page.waitForFunction(() => document.getElementById("value").textContent !== "");
  await screenshot(page, "web-app-restarted");

  // Bob withdraws the site's access.
  await page.click("#revoke");
  await page.waitForSelector("#signed-out:not([hidden])");
  assert.equal(await page.textContent("#message"), "");
  await page.reload();
  await page.waitForSelector("#signed-out:not([hidden])");
});
